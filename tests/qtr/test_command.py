"""The command `qtr`: its programs, of which it imports only the one that it runs, and its error sentences."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from qtr.__main__ import PROGRAMS, main
from tests.support.server_process import ServerProcess


def qtr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qtr", *words], capture_output=True, text=True, check=False)


def test_every_program_it_lists_has_a_main(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name, program in PROGRAMS.items():
        assert name in listed
        assert callable(importlib.import_module(program.module).main)


def test_an_unknown_word_is_named_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sing"]) == 2
    assert "unknown command 'sing'; there are serve, label" in capsys.readouterr().err


def test_a_variable_for_interactive_python_does_not_change_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONINSPECT", "1")
    result = qtr("sing")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_scoring_imports_neither_spark_nor_torch() -> None:
    code = (
        "import sys; from qtr.__main__ import main; main(['score', '--query', 'a', '--title', 'b', '--json']); "
        "sys.exit(bool({'pyspark', 'torch', 'grpc'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_score_here_and_by_a_server_agree(server: ServerProcess) -> None:
    words = ["score", "--query", "red shoes", "--title", "Red canvas shoes", "--title", "", "--title", "Sofa", "--json"]
    here, there = qtr(*words), qtr(*words, "--target", server.address)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    left, right = json.loads(here.stdout), json.loads(there.stdout)
    assert [r["error"] for r in left["results"]] == [None, "title is empty", None]
    assert left["results"][0]["score"] == pytest.approx(right["results"][0]["score"], abs=1e-5)
    assert [r["label"] for r in left["results"]] == [r["label"] for r in right["results"]]
    assert (left["model_name"], left["model_version"]) == (right["model_name"], right["model_version"])


def test_the_table_shows_the_best_first_and_nothing_a_terminal_would_obey() -> None:
    titles = ["Sofa\x1b[2J", "Gaming laptop, 16 GB", ""]
    result = qtr("score", "--query", "gaming laptop", *(word for title in titles for word in ("--title", title)))
    assert result.returncode == 0, result.stderr
    where = [result.stdout.index(text) for text in ("Gaming laptop, 16 GB", "Sofa\\x1b[2J", "is empty")]
    assert where == sorted(where)
    assert "\x1b[2J" not in result.stdout


@pytest.mark.parametrize("text", ["a, b", "[a", "[a, b]", '"a" {b}', "  a ", "--a", "{}", "7", "null"])
def test_texts_are_taken_word_for_word(text: str) -> None:
    result = qtr("score", f"--query={text}", f"--title={text}", "--json")
    printed = json.loads(result.stdout)
    assert [printed["query"], *(each["title"] for each in printed["results"])] == [text, text]


def test_a_lone_surrogate_on_the_command_line_is_a_row_error() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "qtr", "score", "--query", "a", "--title", b"x\xed\xa0\xbd", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(result.stdout)["results"][0]["error"] == "title is not valid UTF-8"


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["score", "--title", "a"], 2, "--query is required"),
        (["score", "--query", "a"], 2, "--title is required"),
        (["score", "--query", "a", "--title", "b", "--bundle", "/nonexistent"], 2, "/nonexistent: no such folder"),
        (
            ["score", "--query", "a", "--title", "b", "--target", "127.0.0.1:1", "--deadline-seconds", "0.5"],
            1,
            "127.0.0.1:1",
        ),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], status: int, expected: str) -> None:
    result = qtr(*words)
    assert result.returncode == status
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
