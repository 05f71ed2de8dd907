"""A cluster that may be changed, with the service applied; and callers inside of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import JOBS, SERVICE, Cluster, copy_of_manifests
from tests.cluster.volumes import JOBS_VOLUME, MODELS_VOLUME, provide_volume

# Cores that the service, a caller, a driver and an executor ask for together.
CORES_WANTED = 6
RESTRICTED = {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Apply the local overlay, and take it away at the end unless `QTR_CLUSTER_KEEP` is set."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no cluster: set KUBECONFIG to one that may be changed (docs/operating.md, Test it on a cluster)")
    server, spark = os.environ.get("QTR_SERVER_IMAGE"), os.environ.get("QTR_SPARK_IMAGE")
    cluster = Cluster(copy_of_manifests(tmp_path_factory.mktemp("manifests"), server, spark))
    reached = cluster.try_kubectl("get", "--raw", "/readyz", timeout=30)
    assert reached.returncode == 0, f"KUBECONFIG is set, and its cluster does not answer: {reached.stderr}"
    if not os.environ.get("QTR_CLUSTER_REUSE"):
        for namespace in (SERVICE, JOBS):
            found = cluster.try_kubectl("get", "namespace", namespace)
            assert found.returncode != 0, (
                f"the cluster has a namespace {namespace} already; QTR_CLUSTER_REUSE=1 uses it"
            )
    _fit(cluster)
    try:
        cluster.apply_folder("overlays/local")
        cluster.rolled_out()
        yield cluster
    finally:
        if not os.environ.get("QTR_CLUSTER_KEEP"):
            cluster.kubectl("delete", "namespace", SERVICE, JOBS, "--ignore-not-found", timeout=300)
            cluster.kubectl("delete", "pv", JOBS_VOLUME, MODELS_VOLUME, "--ignore-not-found", timeout=300)


def _fit(cluster: Cluster) -> None:
    """Ask for less CPU where the cluster has fewer cores than the laptop's forms ask for; the limits stay."""
    cores = sum(_cores(node["status"]["allocatable"]["cpu"]) for node in cluster.get("nodes")["items"])
    if cores >= CORES_WANTED:
        return
    _shrink(
        cluster.folder / "spark/local/conf/spark-defaults.conf",
        {r"(?m)^(spark.kubernetes.executor.request.cores +)\S+": r"\g<1>100m"},
    )
    for name in ("spark/cronjob/cronjob.yaml", "base/deployment.yaml"):
        _shrink(cluster.folder / name, {r'(requests:\n +cpu: )"1"': r'\g<1>"100m"'})


def _shrink(path: Path, replacements: dict[str, str]) -> None:
    text = path.read_text()
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, f"{path.name} has no {pattern}"
    path.write_text(text)


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@pytest.fixture(scope="session")
def jobs(cluster: Cluster) -> Cluster:
    """Apply the laptop's form of the nightly job as well, with the sample in its volume."""
    provide_volume(cluster, JOBS_VOLUME, spark_image(cluster))
    cluster.apply_folder("spark/local")
    # Neither a driver nor an executor: nothing may count it among them.
    cluster.apply(pod(cluster, "putter", "sleep infinity", claim="qtr-nightly", role=None))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/putter", "-n", JOBS, "--timeout=300s", timeout=330)
    sample = (Path(__file__).resolve().parents[2] / "examples/sample/pairs.jsonl").read_text()
    put = "mkdir -p /data/pairs && cat >/data/pairs/pairs.jsonl"
    cluster.kubectl("exec", "-i", "-n", JOBS, "putter", "--", "sh", "-c", put, text=sample)
    return cluster


def spark_image(cluster: Cluster) -> str:
    """Return the image of the nightly job in the copy of the manifests."""
    built = cluster.kubectl("kustomize", str(cluster.folder / "spark/cronjob"))
    found = re.search(r"^ +image: (\S+)$", built, re.MULTILINE)
    assert found is not None
    return found.group(1)


def pod(
    cluster: Cluster, name: str, command: str, claim: str | None = None, role: str | None = "executor"
) -> dict[str, Any]:
    """Make a pod of the Spark image beside the jobs; with a role, the network policies take it for one of Spark's."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if claim is not None:
        mounts.append({"name": "data", "mountPath": "/data"})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": JOBS, "labels": {} if role is None else {"spark-role": role}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED,
            "containers": [
                {
                    "name": "main",
                    "image": spark_image(cluster),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", command],
                    "securityContext": CONTAINER,
                    "volumeMounts": mounts,
                }
            ],
            "volumes": volumes,
        },
    }
