"""The service on a real cluster: applied, called, scaled, drained, rolled."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grpc_client import ClientConfig, RelevanceClient
from tests.cluster.conftest import pod
from tests.cluster.kube import JOBS, SERVICE, Cluster, eventually
from tests.support.scrape import parse

pytestmark = pytest.mark.timeout(1500)

CALLER = Path(__file__).with_name("caller.py").read_text()
# The local overlay's connections, a tenth, and CoreDNS's cache.
FOUND_WITHIN_SECONDS = 33 + 30


@contextmanager
def calling(cluster: Cluster, name: str, rows: int, threads: int) -> Iterator[dict[str, Any]]:
    """Call from inside while the block runs; its result is filled in afterwards."""
    result: dict[str, Any] = {}
    if cluster.try_kubectl("get", "namespace", JOBS).returncode:
        cluster.kubectl("apply", "-f", str(cluster.folder / "spark/base/namespace.yaml"))
    made = pod(cluster, name, 'exec python -c "$PROGRAM" "$ROWS" "$THREADS"')
    variables = {"PROGRAM": CALLER, "ROWS": str(rows), "THREADS": str(threads)}
    made["spec"]["containers"][0]["env"] = [{"name": key, "value": value} for key, value in variables.items()]
    cluster.apply(made)
    try:
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", JOBS, "--timeout=300s", timeout=330)
        eventually(lambda: "calling" in cluster.logs(JOBS, name), 60, "the caller does not start")
        yield result
        cluster.kubectl("exec", "-n", JOBS, name, "--", "touch", "/tmp/stop")
        ended = ("Succeeded", "Failed")
        eventually(lambda: cluster.get("pod", name, "-n", JOBS)["status"]["phase"] in ended, 120, "it does not stop")
        result |= json.loads(cluster.logs(JOBS, name).splitlines()[-1])
    finally:
        cluster.kubectl("delete", "pod", name, "-n", JOBS, "--wait=false")


def bounds(cluster: Cluster, low: int, high: int) -> None:
    patch = json.dumps({"spec": {"minReplicas": low, "maxReplicas": high}})
    cluster.kubectl("patch", "hpa", "qtr-server", "-n", SERVICE, "--type=merge", "-p", patch)


def handled(cluster: Cluster, name: str) -> float:
    return sum(parse(cluster.metrics(name)).values("grpc_server_handled_total", grpc_method="ScoreBatch"))


def least_share(cluster: Cluster, count: int) -> float:
    """Return the smallest share that one of `count` ready pods has of two seconds' calls."""
    names = cluster.ready()
    if len(names) != count:
        return 0.0
    before = [handled(cluster, name) for name in names]
    subprocess.run(["sleep", "2"], check=True)
    counts = [handled(cluster, name) - earlier for name, earlier in zip(names, before, strict=True)]
    return min(counts) / max(sum(counts), 1)


def test_the_pods_are_ready_and_none_was_restarted(cluster: Cluster) -> None:
    assert cluster.ready()
    statuses = [status for each in cluster.pods() for status in each["status"]["containerStatuses"]]
    assert [status["restartCount"] for status in statuses] == [0] * len(statuses)


@pytest.mark.parametrize("to", ["service/qtr-server", "pod"])
def test_a_caller_scores_through_a_forwarded_port(cluster: Cluster, to: str) -> None:
    with cluster.forwarded(to if "/" in to else f"pod/{cluster.ready()[0]}", 8001) as address:
        config = ClientConfig(address, priority="interactive")
        with RelevanceClient(config) as client:
            answer = client.score("usb c cable", ["USB-C cable 2 m", "Desk lamp"])
    [cable, lamp] = [title.score for title in answer.titles]
    assert cable is not None
    assert lamp is not None
    assert cable > lamp


def test_the_namespace_refuses_root(cluster: Cluster) -> None:
    image = cluster.pods()[0]["spec"]["containers"][0]["image"]
    refused = cluster.try_kubectl("run", "root", "-n", SERVICE, f"--image={image}", "--dry-run=server")
    assert "violates PodSecurity" in refused.stderr


@pytest.mark.parametrize("folder", ["base", "overlays/local", "overlays/production", "spark/cronjob", "spark/local"])
def test_the_api_server_takes_every_field(cluster: Cluster, folder: str) -> None:
    for namespace in ("base/namespace.yaml", "spark/base/namespace.yaml"):
        cluster.kubectl("apply", "-f", str(cluster.folder / namespace))
    built = cluster.kubectl("kustomize", str(cluster.folder / folder))
    answer = cluster.try_kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=built)
    assert answer.returncode == 0, answer.stderr
    assert "unknown field" not in answer.stderr


def test_no_call_is_lost_while_pods_come_and_go(cluster: Cluster) -> None:
    with calling(cluster, "steady-caller", rows=32, threads=4) as result:
        bounds(cluster, 3, 3)
        eventually(lambda: len(cluster.ready()) == 3, 300, "three pods are not ready")
        eventually(lambda: least_share(cluster, 3) > 0.15, FOUND_WITHIN_SECONDS + 60, "a pod gets no traffic")
        # As a drained node does: the budget is asked, and the pod ends in its own time.
        leaving = cluster.ready()[0]
        where = f"/api/v1/namespaces/{SERVICE}/pods/{leaving}/eviction"
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": leaving, "namespace": SERVICE}}
        cluster.kubectl("create", "--raw", where, "-f", "-", text=json.dumps(eviction))
        eventually(lambda: cluster.try_kubectl("get", "pod", leaving, "-n", SERVICE).returncode, 120, "it stays")
        eventually(lambda: len(cluster.ready()) == 3, 300, "no pod came instead")
        cluster.kubectl("rollout", "restart", "deployment/qtr-server", "-n", SERVICE)
        cluster.rolled_out()
        bounds(cluster, 1, 2)
        eventually(lambda: len(cluster.pods()) == 2, 600, "it does not scale down")
    assert result["failures"] == []
    assert result["answers"] > 100


def test_the_budget_lets_a_node_be_drained(cluster: Cluster) -> None:
    eventually(
        lambda: cluster.get("pdb", "qtr-server", "-n", SERVICE)["status"].get("disruptionsAllowed", 0) > 0,
        300,
        "the budget allows no disruption",
    )


def test_load_brings_more_pods(cluster: Cluster) -> None:
    available = cluster.try_kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io")
    if available.returncode:
        pytest.skip("the cluster has no metrics-server, so no autoscaler works")
    bounds(cluster, 1, 3)
    with calling(cluster, "heavy-caller", rows=256, threads=16) as result:
        eventually(lambda: len(cluster.ready()) >= 3, 600, "the autoscaler adds no pods")
    assert result["failures"] == []
    bounds(cluster, 1, 2)


def outcome(cluster: Cluster, name: str) -> str | None:
    """Return how a pod has ended, if it has."""
    phase = str(cluster.get("pod", name, "-n", JOBS)["status"]["phase"])
    return phase if phase in {"Succeeded", "Failed"} else None


def test_only_the_jobs_pods_may_connect(cluster: Cluster) -> None:
    if not os.environ.get("QTR_CLUSTER_POLICIES"):
        pytest.skip("set QTR_CLUSTER_POLICIES=1 where the network plugin enforces policies")
    own = cluster.folder / "with-policies"
    own.mkdir()
    (own / "kustomization.yaml").write_text(
        "resources: [../overlays/local]\ncomponents: [../components/network-policy]\n"
    )
    cluster.apply_folder("with-policies")
    cluster.kubectl("apply", "-f", str(cluster.folder / "spark/base/namespace.yaml"))
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)"
    outcomes = {}
    for role in ("executor", "driver", None):
        for port in (8001, 8002):
            name = f"peer-{role or 'stranger'}-{port}".lower()
            command = f"python -c '{connect}' qtr-server-headless.qtr.svc {port}"
            cluster.apply(pod(cluster, name, command, role=role))
            outcomes[role, port] = eventually(partial(outcome, cluster, name), 120, f"{name} does not end")
            cluster.kubectl("delete", "pod", name, "-n", JOBS, "--wait=false")
    cluster.kubectl("delete", "-f", str(cluster.folder / "components/network-policy/policies.yaml"))
    expected = {(role, port): "Succeeded" if role and port == 8001 else "Failed" for role, port in outcomes}
    assert outcomes == expected
