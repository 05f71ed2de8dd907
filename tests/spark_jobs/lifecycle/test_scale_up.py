"""Replicas raised for a run: the real client library against a scripted API server, over HTTP."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest
from pyspark.sql import SparkSession

from spark_jobs.errors import RunFailedError, UsageError
from spark_jobs.label_pairs import main
from spark_jobs.lifecycle.java import java_home
from spark_jobs.lifecycle.scale_targets import ANNOTATION, ScaleTarget
from spark_jobs.lifecycle.scale_up import ScaleUp
from spark_jobs.settings import LabelSettings
from tests.spark_jobs.conftest import write_pairs
from tests.support.job_process import ROOT, Job
from tests.support.kubernetes_api import KubernetesApi
from tests.support.scripted_server import ScriptedServer

TARGET = ScaleTarget("search", "relevance")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with KubernetesApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path)))
        yield server


def raised(replicas: int = 6, run_id: str = "this-run", retry_seconds: float = 20.0) -> ScaleUp:
    return ScaleUp(TARGET, replicas, run_id, retry_seconds=retry_seconds)


def number(api: KubernetesApi) -> int:
    assert api.hpa is not None
    return int(api.hpa["spec"]["minReplicas"])


def annotation(item: dict[str, Any] | None) -> dict[str, Any] | None:
    assert item is not None
    text = item["metadata"].get("annotations", {}).get(ANNOTATION)
    return None if text is None else json.loads(text)


def test_the_autoscalers_floor_is_raised_and_put_back(api: KubernetesApi) -> None:
    with raised() as replicas:
        replicas.wait_until_ready(30)
        assert number(api) == 6
        assert api.deployment["status"]["readyReplicas"] == 6
        found = annotation(api.hpa)
        assert found is not None
        assert (found["before"], found["run_id"]) == (2, "this-run")
    assert number(api) == 2
    assert annotation(api.hpa) is None
    # No more than this is asked for: the rights that k8s/spark gives.
    assert {(method, path.rsplit("/", 2)[-2]) for method, path, _ in api.requests} == {
        ("GET", "deployments"),
        ("GET", "horizontalpodautoscalers"),
        ("PATCH", "horizontalpodautoscalers"),
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_it_is_put_back_whatever_ends_the_run(api: KubernetesApi, error: type[BaseException]) -> None:
    with pytest.raises(error), raised():
        assert number(api) == 6
        raise error
    assert (number(api), annotation(api.hpa)) == (2, None)


def test_without_an_autoscaler_the_deployment_is_scaled(api: KubernetesApi) -> None:
    api.hpa = None
    with raised() as replicas:
        replicas.wait_until_ready(30)
        assert api.deployment["spec"]["replicas"] == 6
        assert annotation(api.deployment) is not None
    assert api.deployment["spec"]["replicas"] == 2
    assert annotation(api.deployment) is None


def test_the_annotation_may_be_refused(api: KubernetesApi, caplog: pytest.LogCaptureFixture) -> None:
    api.hpa = None
    api.denied.add(("PATCH", "/relevance"))
    with raised():
        assert api.deployment["spec"]["replicas"] == 6
    assert api.deployment["spec"]["replicas"] == 2
    assert "cannot hold an annotation with its 2 replicas" in caplog.text


@pytest.mark.parametrize("hpa", [True, False])
def test_what_a_killed_run_left_is_put_back_by_the_next(api: KubernetesApi, hpa: bool) -> None:
    if not hpa:
        api.hpa = None
    raised(run_id="killed").__enter__()
    with raised(8, run_id="next"):
        found = annotation(api.hpa if hpa else api.deployment)
        assert found is not None
        assert (found["before"], found["run_id"]) == (2, "next")
    assert (number(api) if hpa else api.deployment["spec"]["replicas"]) == 2


def test_of_two_runs_the_one_that_began_last_puts_back(api: KubernetesApi, caplog: pytest.LogCaptureFixture) -> None:
    first, second = raised(run_id="first"), raised(run_id="second")
    first.__enter__()
    second.__enter__()
    first.restore()
    assert number(api) == 6
    assert "is not restored: run second" in caplog.text
    second.restore()
    assert (number(api), annotation(api.hpa)) == (2, None)


def test_enough_replicas_are_left_alone(api: KubernetesApi) -> None:
    with raised(2):
        pass
    assert api.count("PATCH", "") == 0


def test_a_number_that_was_changed_meanwhile_is_not_restored(
    api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    with raised():
        assert api.hpa is not None
        api.hpa["spec"]["minReplicas"] = 4
    assert (number(api), annotation(api.hpa)) == (4, None)
    assert "was changed to 4 after this run had set 6" in caplog.text


def test_conflicts_are_read_again(api: KubernetesApi) -> None:
    others = iter([3, 4])

    def another_writes(path: str) -> None:
        assert api.hpa is not None
        number = next(others, None)
        if number is not None:
            api.hpa["spec"]["minReplicas"] = number
            api.touch(api.hpa)

    api.before_patch = another_writes
    with raised():
        assert number(api) == 6
    assert number(api) == 4  # what stood there when it was raised


@pytest.mark.parametrize("refusal", [(503, "ServiceUnavailable", "starting"), (429, "TooManyRequests", "slow down")])
def test_a_busy_api_server_is_asked_again(
    api: KubernetesApi, refusal: tuple[int, str, str], caplog: pytest.LogCaptureFixture
) -> None:
    api.refusals["PATCH", "/relevance"] = [refusal]
    with raised():
        assert number(api) == 6
        api.refusals["PATCH", "/relevance"] = [refusal]
    assert number(api) == 2
    assert refusal[2] in caplog.text


def test_an_api_server_that_restarts_at_the_end_is_waited_for(api: KubernetesApi) -> None:
    with raised():
        api.stop()
        threading.Timer(1.0, api.start).start()
    assert (number(api), annotation(api.hpa)) == (2, None)


def test_an_api_server_that_stays_away_is_told_with_what_to_do(
    api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with raised(retry_seconds=0.5) as replicas:
        api.stop()
        replicas.wait_until_ready(0.1)
    assert "the run goes on although after 0.1 s no API server answers" in caplog.text
    assert "could not be restored to 2" in caplog.text
    assert """kubectl -n search patch hpa relevance --type merge -p '{"metadata":""" in caplog.text
    with pytest.raises(RunFailedError, match="deployment/search/relevance cannot be scaled: no API server answers"):
        raised(retry_seconds=0.1).__enter__()
    api.start()
    assert number(api) == 6


def test_replicas_that_do_not_get_ready_do_not_stop_the_run(
    api: KubernetesApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.room = 4
    with raised() as replicas:
        replicas.wait_until_ready(0.1)
    assert "the run goes on although after 0.1 s 4 of 6 replicas are ready" in caplog.text


def test_waiting_ends_when_the_run_is_interrupted(api: KubernetesApi) -> None:
    api.room = 1
    with raised() as replicas:
        replicas.wait_until_ready(600, cancelled=lambda: True)
    assert number(api) == 2


def test_what_cannot_be_is_one_sentence(api: KubernetesApi) -> None:
    with pytest.raises(UsageError, match="allows at most 10, not 11"):
        raised(11).__enter__()
    with pytest.raises(UsageError, match='there is no deployment/search/none: deployments "none" not found'):
        ScaleUp(ScaleTarget("search", "none"), 3, "r").__enter__()
    assert api.hpa is not None
    api.hpa["spec"]["scaleTargetRef"]["name"] = "other"
    with pytest.raises(UsageError, match="the autoscaler relevance scales Deployment other"):
        raised().__enter__()
    api.denied.add(("PATCH", "/relevance"))
    api.hpa["spec"]["scaleTargetRef"]["name"] = "relevance"
    with pytest.raises(UsageError, match=r"Kubernetes refuses: .*forbidden"):
        raised().__enter__()
    assert number(api) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scale", "relevance"], "--scale: expected deployment/NAMESPACE/NAME, not 'relevance'"),
        (["--scale", "deployment/a/b", "--target", "a:1"], "--scale needs --replicas"),
        (["--scale", "deployment/a/b", "--replicas", "3"], "--scale needs --target"),
    ],
)
def test_flags_that_do_not_fit(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        settings = LabelSettings.parse(["--input", "a", "--output", "b", *words])
        ScaleUp.of(str(settings.scale), settings.replicas, settings.target, "r")

    with pytest.raises((SystemExit, UsageError)) as caught:
        run()
    assert sentence in f"{caught.value} {capsys.readouterr().err}"


def test_a_run_raises_them_and_puts_them_back_when_the_last_pair_is_scored(
    api: KubernetesApi, spark: SparkSession, scripted: ScriptedServer, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "in" / "a.parquet", [("q", f"t{row}") for row in range(50)])
    words = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--target", scripted.address]
    assert main([*words, "--scale", "deployment/search/relevance", "--replicas", "5"]) == 0
    raised_to = [body["spec"]["minReplicas"] for method, _, body in api.requests if method == "PATCH" and body]
    assert raised_to == [5, 2]
    assert (number(api), annotation(api.hpa)) == (2, None)


def test_a_driver_pod_that_is_ended_lowers_them_before_it_goes(api: KubernetesApi, tmp_path: Path) -> None:
    write_pairs(tmp_path / "in" / "a.parquet", [("q", f"t{row}") for row in range(500)])
    output = tmp_path / "out"
    flags = ["--input", str(tmp_path / "in"), "--output", str(output), "--rows-per-rpc", "1"]
    flags += ["--scale", "deployment/search/relevance", "--replicas", "5"]
    env = {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_CONF_DIR": str(ROOT / "spark_jobs" / "lifecycle" / "conf"),
        "SPARK_DRIVER_BIND_ADDRESS": "127.0.0.1",
        "JAVA_HOME": str(java_home()),
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [str(ROOT / "docker" / "entrypoint.sh"), "driver", str(ROOT / "spark_jobs" / "label_pairs.py")]
    with ScriptedServer(delay_seconds=0.5) as server:
        job = Job([*flags, "--target", server.address], command, **env)
        try:
            server.next_call()
            assert number(api) == 5
            # As a node that is drained does: to the first process alone.
            job.process.send_signal(signal.SIGTERM)
            status, *_ = job.finish()
        finally:
            job.clean_up()
    assert status == 128 + signal.SIGTERM
    assert (number(api), annotation(api.hpa)) == (2, None)
    assert not list(output.glob("_*"))
    assert not list(output.glob("labels/*"))


def test_no_way_to_kubernetes_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    words = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--target", "127.0.0.1:1"]
    assert main([*words, "--scale", "deployment/a/b", "--replicas", "3"]) == 2
    assert "no way to a Kubernetes API server" in capsys.readouterr().err
    with pytest.raises(UsageError):
        raised().__enter__()
