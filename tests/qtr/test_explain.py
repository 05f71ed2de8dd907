"""`qtr explain`: the words on a terminal, as JSON and as a page, here and by a server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from qtr.__main__ import main
from tests.support.server_process import ServerProcess

PAIR = ["--query", "red shoes", "--title", "Red canvas shoes, <b>blue</b> laces"]


def test_here_and_by_a_server_agree(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *PAIR, "--json"]) == 0
    here = json.loads(capsys.readouterr().out)
    assert main(["explain", *PAIR, "--json", "--target", server.address]) == 0
    there = json.loads(capsys.readouterr().out)
    words = here["query"] + here["title"]
    assert [word["word"] for word in words] == f"{PAIR[1]} {PAIR[3]}".split()
    assert sum(word["contribution"] for word in words) == pytest.approx(
        here["logit"] - here["baseline_logit"], abs=1e-4
    )
    for left, right in zip(words, there["query"] + there["title"], strict=True):
        assert left["contribution"] == pytest.approx(right["contribution"], abs=1e-4)
    assert here["score"] == pytest.approx(there["score"], abs=1e-5)
    assert {name: here[name] for name in ("label", "exact", "pairs", "model_name", "model_version")} == {
        name: there[name] for name in ("label", "exact", "pairs", "model_name", "model_version")
    }


def test_the_table_has_no_colour_and_nothing_that_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--query", "red shoes", "--title", "Red shoes\x1b[2J " + "laces " * 60]) == 0
    printed = capsys.readouterr().out
    assert "shoes\\x1b[2J" in printed
    assert "\x1b" not in printed
    assert "more that the model does not read" in " ".join(printed.split())
    assert "estimated from" in printed


@pytest.mark.parametrize(("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_words_are_coloured_on_a_terminal_unless_it_wants_none(extra: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm-256color"} | extra
    with subprocess.Popen([sys.executable, "-m", "qtr", "explain", *PAIR], stdout=theirs, env=env) as process:
        os.close(theirs)
        printed = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so that the other side was closed
                break
            if not part:
                break
            printed += part
    os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[1;32m" in printed) == coloured
    assert b"shoes," in printed


def test_the_page_is_whole_in_one_file_and_escapes_the_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "explanation.html"
    assert main(["explain", *PAIR, "--html", str(file)]) == 0
    page = file.read_text(encoding="utf-8")
    assert "&lt;b&gt;blue&lt;/b&gt;" in page
    assert "<b>blue</b>" not in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "relevant" in page
    assert main(["explain", *PAIR, "--html", str(tmp_path / "missing" / "page.html")]) == 2
    assert "--html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--query", "", "--title", "x"], "query: is empty"),
        ([*PAIR, "--bundle", "/nowhere"], "no such folder"),
        ([*PAIR, "--bundle", "x", "--target", "localhost:1"], "--bundle and --target name two models"),
    ],
)
def test_mistakes_are_sentences(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    status: object
    try:
        status = main(["explain", *words])
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert "Traceback" not in printed


def test_a_pair_that_a_server_cannot_explain_is_a_mistake(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--query", "red", "--title", "\x00", "--target", server.address]) == 2
    assert "has no readable character" in capsys.readouterr().err
