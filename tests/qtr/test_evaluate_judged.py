"""`qtr evaluate` on judged pairs: the numbers of a bundle and of a server, exit statuses, mistakes as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtr.evaluate import main
from tests.conftest import ROOT
from tests.support.server_process import ServerProcess

JUDGED = ROOT / "examples" / "judged" / "sample.csv"
LABELS = "exact=1,partial=0.4,wrong=0"


def test_the_judged_sample_is_measured_in_this_process_and_by_a_server(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--judged", str(JUDGED), "--labels", LABELS, "--json", "--resamples", "100", "--out"]
    assert main([*words, str(tmp_path / "here")]) == 0
    here = json.loads(capsys.readouterr().out)
    assert main([*words, str(tmp_path / "there"), "--target", server.address]) == 0
    there = json.loads(capsys.readouterr().out)
    assert here["judged"]["rows"] == 526
    assert here["model"]["sha256"] == there["model"]["sha256"]
    assert here["metrics"] == there["metrics"]
    assert here["metrics"]["model"]["auc"]["value"] > 0.7
    assert json.loads((tmp_path / "here" / "evaluation.json").read_text()) == here
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["evaluation.html", "evaluation.json"]
    # The words of the worst errors are explained where the model is.
    pages = [(tmp_path / place / "evaluation.html").read_text(encoding="utf-8") for place in ("here", "there")]
    assert ['class="words"' in page for page in pages] == [True, False]


@pytest.mark.parametrize(("requirement", "status"), [("better", 1), ("not-worse", 0)])
def test_the_exit_status_says_whether_a_requirement_is_met(
    requirement: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--judged", str(JUDGED), "--labels", LABELS, "--resamples", "100", "--out", str(tmp_path)]
    assert main([*words, "--against", "bundled", "--require", requirement]) == status
    printed = capsys.readouterr()
    assert "no difference shown" in printed.out
    assert ("--require better: not shown" in printed.err) == (status == 1)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--judged", "/nonexistent.csv"], "/nonexistent.csv: no such file"),
        (["--judged", str(JUDGED)], "say what each means"),
        (["--judged", str(JUDGED), "--labels", "exact"], "--labels: 'exact': expected LABEL=NUMBER"),
        (["--judged", str(JUDGED), "--labels", "exact=2"], "--labels: exact=2: expected a probability from 0 to 1"),
        (["--judged", str(JUDGED), "--labels", LABELS, "--bundle", "/nonexistent"], "bundle /nonexistent: no such"),
        (["--judged", str(JUDGED), "--labels", LABELS, "--gains", "good=2"], "--gains names the label 'good'"),
        (["--judged", str(JUDGED), "--require", "better"], "--require needs --against"),
        (["--judged", str(JUDGED), "--labels", LABELS, "--out", "/dev/null/x"], "--out: /dev/null/x cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(words)
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr().err
    assert status == 2
    assert printed.startswith("qtr evaluate: ")
    assert complaint in printed
    assert printed.count("\n") == 1
