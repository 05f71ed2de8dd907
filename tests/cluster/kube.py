"""The cluster that `KUBECONFIG` names, by kubectl."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.manifests.kustomize import K8S, kubectl

SERVICE, JOBS = "qtr", "qtr-jobs"
SELECTOR = "app.kubernetes.io/name=qtr,app.kubernetes.io/component=server"
_POLL_SECONDS = 1.0


class Cluster:
    """Runs kubectl, and waits for what it says.

    Parameters
    ----------
    folder
        A copy of `k8s/` that may be changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = 120) -> str:
        """Run kubectl; what it prints is the result, and a failure of it is one of the test."""
        result = self.try_kubectl(*arguments, text=text, timeout=timeout)
        assert result.returncode == 0, f"kubectl {' '.join(arguments)}: {result.stderr}"
        return result.stdout

    def try_kubectl(
        self, *arguments: str, text: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever becomes of it."""
        return subprocess.run(
            [kubectl(), *arguments], input=text, capture_output=True, text=True, timeout=timeout, check=False
        )

    def get(self, *arguments: str) -> Any:
        """Get resources as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *resources: dict[str, Any]) -> None:
        """Apply some resources."""
        for resource in resources:
            self.kubectl("apply", "-f", "-", text=json.dumps(resource))

    def apply_folder(self, name: str) -> None:
        """Apply a folder of the copy."""
        self.kubectl("apply", "-k", str(self.folder / name))

    def pods(self, namespace: str = SERVICE, selector: str = SELECTOR) -> list[Any]:
        """Return the pods that are not on their way out."""
        found = self.get("pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self) -> list[str]:
        """Return the names of the service's pods that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        ]

    def rolled_out(self, seconds: float = 600) -> None:
        """Wait until the Deployment is what it should be."""
        self.kubectl(
            "rollout", "status", "deployment/qtr-server", "-n", SERVICE, f"--timeout={seconds:g}s", timeout=seconds + 30
        )

    def metrics(self, pod: str) -> str:
        """Read a pod's metrics through the API server."""
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{SERVICE}/pods/{pod}:8002/proxy/metrics")

    def logs(self, namespace: str, *arguments: str) -> str:
        """Read a log."""
        return self.kubectl("logs", "-n", namespace, *arguments)

    def may(self, account: str, *what: str) -> bool:
        """Ask whether a service account of the jobs may do something."""
        user = f"system:serviceaccount:{JOBS}:{account}"
        return self.try_kubectl("auth", "can-i", f"--as={user}", *what).stdout.strip() == "yes"

    @contextmanager
    def forwarded(self, to: str, port: int) -> Iterator[str]:
        """Forward a local port; gives `host:port`."""
        command = [kubectl(), "port-forward", "-n", SERVICE, to, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                found = re.search(r"127\.0\.0\.1:\d+", line)
                assert found is not None, line
                yield found.group()
            finally:
                process.terminate()


def eventually(what: Callable[[], Any], seconds: float, reason: str) -> Any:
    """Ask until the answer is true; give it."""
    until = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < until, f"after {seconds:g} s: {reason}"
        time.sleep(_POLL_SECONDS)


def copy_of_manifests(folder: Path, server_image: str | None, spark_image: str | None) -> Path:
    """Copy `k8s/` and put other images into the copy."""
    copied = folder / "k8s"
    shutil.copytree(K8S, copied)
    for path in copied.rglob("kustomization.yaml"):
        text = path.read_text()
        for name, image in (("qtr-server", server_image), ("qtr-spark", spark_image)):
            if image is not None:
                text = re.sub(rf"  - name: {name}\n    newTag: \S+\n", _entry(name, image), text)
        path.write_text(text)
    return copied


def _entry(name: str, image: str) -> str:
    repository, at, digest = image.partition("@")
    if at:
        return f"  - name: {name}\n    newName: {repository}\n    digest: {digest}\n"
    repository, _, tag = image.rpartition(":")
    return f"  - name: {name}\n    newName: {repository}\n    newTag: {tag!r}\n"
