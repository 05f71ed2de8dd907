"""The real Triton client calls a real server, in a process of its own: its generated code cannot live beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from relevance_model import Bundle, Scorer
from tests.support.server_process import ServerProcess


@pytest.fixture(scope="module")
def seen_by_triton(server: ServerProcess, student: Bundle) -> Any:
    command = [sys.executable, "-W", "error", "-m", "tests.support.triton_calls", server.address, student.manifest.name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_the_triton_client_works_unchanged(seen_by_triton: Any, kind: str, scorer: Scorer, student: Bundle) -> None:
    seen = seen_by_triton[kind]
    assert [seen[what] for what in ("live", "ready", "model_ready", "other_ready")] == [True, True, True, False]
    assert seen["server"] == {"name": "qtr", "version": metadata.version("qtr-relevance")}
    assert (seen["model"]["name"], seen["model"]["versions"]) == (student.manifest.name, [student.manifest.version])
    assert [tensor["name"] for tensor in seen["model"]["outputs"]] == ["score", "label", "error"]
    queries, titles = ["red shoes", "usb cable"], ["Red canvas sneakers, size 42", "USB-C cable é 2 m"]
    expected = scorer.score_texts(queries, titles)
    assert (seen["id"], seen["shape"], seen["dtype"]) == ("night-7", [3, 1], "float32")
    assert seen["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert seen["last_is_nan"]
    assert seen["labels"] == [student.manifest.labels[label] for label in expected.labels] + [""]
    assert seen["errors"] == ["", "", "query is empty"]
    one = scorer.score_texts(["red shoes"], [*titles, "Cast iron pan"], [0, 0, 0])
    assert seen["broadcast_labels"] == [student.manifest.labels[label] for label in one.labels]
    assert seen["broadcast_score"] is None
    assert seen["too_many"] == ["StatusCode.INVALID_ARGUMENT", "query: 5000 entries, the limit is 4096 a request"]
    assert seen["other_model"][0] == "StatusCode.NOT_FOUND"
    assert seen["other_priority"] == ["StatusCode.INVALID_ARGUMENT", "x-priority: must be one of interactive, bulk"]
