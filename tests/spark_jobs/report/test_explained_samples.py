from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_client import ClientConfig
from spark_jobs.quality.summary import SampleRow
from spark_jobs.report.explained_samples import choose, with_explanations
from tests.spark_jobs.report.examples import report
from tests.support.scripted_server import ScriptedServer
from tests.support.server_process import ServerProcess


def rows(*scores: float) -> list[SampleRow]:
    return [SampleRow("red lamp", f"Red desk lamp {score}", score, "relevant") for score in scores]


def test_rows_near_the_threshold_and_the_extremes_come_first() -> None:
    unusable = [SampleRow("lamp", "x" * 300, 0.6, ""), SampleRow(None, "lamp", None, None), SampleRow("", "a", 0.6, "")]
    chosen = choose([*unusable, *rows(0.05, 0.2, 0.55, 0.7, 0.95)], threshold=0.6)
    assert [row.score for row in chosen] == [0.55, 0.95, 0.05, 0.7, 0.2]


def test_as_many_are_explained_as_the_flag_says(server: ServerProcess) -> None:
    assessment = replace(report().assessment, samples={"relevant": rows(0.5, 0.9), "irrelevant": rows(0.1)})
    explained = with_explanations(assessment, ClientConfig(server.address), 2, "run")
    assert [row.score for row in explained.explanations] == [0.5, 0.9]
    for row, explanation in explained.explanations.items():
        assert " ".join(word.word for word in explanation.title) == row.title


def test_a_service_that_explains_nothing_ends_no_run(caplog: pytest.LogCaptureFixture) -> None:
    assessment = replace(report().assessment, samples={"relevant": rows(0.5, 0.9)})
    with ScriptedServer() as old:
        assert with_explanations(assessment, ClientConfig(old.address), 2, "run") == assessment
    assert "sample rows are not all explained" in caplog.text
