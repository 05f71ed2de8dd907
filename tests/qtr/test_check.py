"""`qtr check`: the numbers of the library, printed; the worst first; a mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.capabilities import compare_model, default_capabilities_path, pairs_of, read_triples
from qtr.check import main
from relevance_model import Scorer
from tests.support.server_process import ServerProcess


def test_the_bundled_student_is_tested_on_the_table_that_ships(
    scorer: Scorer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", "--failures", "5"]) == 0
    printed = json.loads(capsys.readouterr().out)
    triples = read_triples(default_capabilities_path())
    scores = scorer.score_texts(*pairs_of(triples)).scores
    comparison = compare_model(triples, scores, scorer.bundle.manifest.threshold)
    total = comparison.total()
    assert (printed["rows"], printed["both_right"]) == (total.rows, total.both_right)
    assert printed["by_capability"].keys() == comparison.by_capability().keys()
    worst = comparison.triples[comparison.failures()[0]]
    assert (len(printed["failures"]), printed["failures"][0]["query"]) == (5, worst.query)


def test_a_shop_s_own_table_is_printed_and_nothing_a_terminal_would_obey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.tsv"
    table.write_text(
        "capability\tquery\tbetter\tworse\n"
        "right \x1b[2J\tgaming laptop\tGaming laptop, 16 GB, 15 inch\tGarden hose, 20 m\n"
        "wrong [b]\tgaming laptop\tGarden hose, 20 m\tGaming laptop \x1b[2J, 16 GB, 15 inch\n"
    )
    assert main(["--capabilities", str(table), "--failures", "9"]) == 0
    out = capsys.readouterr().out
    first, second, total = (
        next(line for line in out.splitlines() if name in line) for name in ("wrong", "right \\", "all")
    )
    assert out.index(first) < out.index(second) < out.index(total)
    assert ["0.00" in first, "1.00" in second, "0.50" in total] == [True, True, True]
    assert "wrong [b]" in out
    assert "\x1b[2J" not in out


def test_a_server_is_measured_as_the_bundle_that_it_serves(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []
    for words in ([], ["--target", server.address]):
        assert main(["--json", *words]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["by_capability"] == results[1]["by_capability"]
    assert results[0]["model_version"] == results[1]["model_version"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--capabilities", "/nonexistent.tsv"], "/nonexistent.tsv: cannot be read (No such file or directory)"),
        (["--target", "127.0.0.1:1", "--deadline-seconds", "0.1"], "no answer from 127.0.0.1:1"),
        (["--bundle", "/nonexistent"], "bundle /nonexistent: no such folder"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"qtr check: {complaint}")
