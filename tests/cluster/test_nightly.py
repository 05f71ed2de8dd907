"""The nightly job on a real cluster: as the CronJob starts it, and in cluster mode by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.lifecycle.java import java_home
from tests.cluster.conftest import spark_image
from tests.cluster.job_runs import finished, run_by_hand
from tests.cluster.kube import JOBS, SERVICE, Cluster

pytestmark = pytest.mark.timeout(1500)

SAMPLE = Path(__file__).resolve().parents[2] / "examples/sample/pairs.jsonl"
ROWS = len(SAMPLE.read_text().splitlines())


def test_a_run_labels_every_row_and_leaves_no_executor(jobs: Cluster) -> None:
    event = run_by_hand(jobs, "by-hand")
    assert (event["rows"]["in"], event["rows"]["out"]) == (ROWS, ROWS)
    left = jobs.get("pods", "-n", JOBS, "-l", "spark-role=executor")["items"]
    assert [pod["metadata"]["name"] for pod in left if "deletionTimestamp" not in pod["metadata"]] == []


def test_a_run_raises_the_floor_and_puts_it_back(jobs: Cluster) -> None:
    before = jobs.get("hpa", "qtr-server", "-n", SERVICE)["spec"]["minReplicas"]
    event = run_by_hand(
        jobs, "scaled", "QTR_SCALE=deployment/qtr/qtr-server", "QTR_REPLICAS=2", "QTR_RUN_DATE=2026-11-02"
    )
    assert event["rows"]["out"] == ROWS
    scaler = jobs.get("hpa", "qtr-server", "-n", SERVICE)
    assert scaler["spec"]["minReplicas"] == before
    assert "qtr.dev/replicas-before" not in scaler["metadata"].get("annotations", {})


def test_a_run_finds_the_pods_by_the_api(jobs: Cluster) -> None:
    own = jobs.folder / "by-api"
    own.mkdir()
    component = "../spark/components/endpoint-slices"
    (own / "kustomization.yaml").write_text(f"resources: [../spark/local]\ncomponents: [{component}]\n")
    jobs.apply_folder("by-api")
    assert run_by_hand(jobs, "by-api", "QTR_RUN_DATE=2026-11-03")["rows"]["out"] == ROWS


def test_cluster_mode_works_from_outside(jobs: Cluster) -> None:
    conf = jobs.folder / "spark"
    server = jobs.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    command = ["spark-submit", "--master", f"k8s://{server}", "--deploy-mode", "cluster", "--name", "qtr-by-hand"]
    command += ["--properties-file", str(conf / "local/conf/spark-defaults.conf")]
    for key, value in {
        "container.image": spark_image(jobs),
        "driver.podTemplateFile": conf / "cronjob/conf/executor.yaml",
        "executor.podTemplateFile": conf / "cronjob/conf/executor.yaml",
        "driver.pod.name": "qtr-by-hand-driver",
    }.items():
        command += ["--conf", f"spark.kubernetes.{key}={value}"]
    command += ["local:///opt/qtr/label_pairs.py", "--input", "/data/pairs", "--output", "/data/out"]
    command += ["--target", "dns:///qtr-server-headless.qtr.svc:8001", "--run-date", "2026-11-04"]
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"JAVA_HOME": str(java_home()), "PATH": search}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    # spark-submit ends with 0 even if the driver fails.
    log = jobs.logs(JOBS, "qtr-by-hand-driver")
    assert jobs.get("pod", "qtr-by-hand-driver", "-n", JOBS)["status"]["phase"] == "Succeeded", log
    assert finished(log)["rows"]["out"] == ROWS


def test_driver_and_executors_may_do_what_they_need_and_no_more(jobs: Cluster) -> None:
    allowed = [
        ("create", "pods", "-n", JOBS),
        ("deletecollection", "pods", "-n", JOBS),
        ("patch", "hpa/qtr-server", "-n", SERVICE),
        ("patch", "deployments/qtr-server", "--subresource=scale", "-n", SERVICE),
    ]
    refused = [
        ("delete", "pods", "-n", SERVICE),
        ("patch", "deployments/qtr-server", "-n", SERVICE),
        ("patch", "hpa/other", "-n", SERVICE),
        ("get", "secrets", "-n", JOBS),
        ("get", "secrets", "-n", SERVICE),
        ("create", "pods", "-n", "default"),
        ("get", "nodes"),
    ]
    assert [what for what in allowed if not jobs.may("qtr-driver", *what)] == []
    assert [what for what in refused if jobs.may("qtr-driver", *what)] == []
    assert [what for what in allowed + refused if jobs.may("qtr-executor", *what)] == []
