"""`qtr sample`: published labels in, a file to fill in out, and the filled file measured."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.sample_file import COLUMNS, unguarded, write_sample
from qtr.evaluate import main as evaluate
from qtr.sample import main
from relevance_model import Bundle, Calibration, Scorer, write_bundle
from tests.conftest import ROOT

JUDGED = ROOT / "examples" / "judged" / "sample.csv"
LABELS = "exact=1,partial=0.4,wrong=0"


@pytest.fixture(scope="module")
def labels(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return published labels of two dates: a few rows, and the judged sample twice over, in two files."""
    with JUDGED.open(encoding="utf-8") as file:
        pairs = [(row["query"], row["title"]) for row in csv.DictReader(file)] * 2
    queries, titles = [query for query, _ in pairs] + ["=cmd()"], [title for _, title in pairs] + [""]
    result = scorer.score_texts(queries, titles)
    names = np.array(scorer.bundle.manifest.labels)[result.labels]
    scored = ~np.isnan(result.scores)
    table = pa.table(
        {
            "query": queries,
            "title": titles,
            "score": pa.array(result.scores, mask=~scored),
            "label": pa.array(names, mask=~scored),
        }
    )
    folder = tmp_path_factory.mktemp("out") / "labels"
    for name, part in (("run_date=2026-11-01", table[:40]), ("run_date=2026-11-02", table)):
        (folder / name).mkdir(parents=True)
        pq.write_table(part[:500], folder / name / "part-0.parquet")
        pq.write_table(part[500:], folder / name / "part-1.parquet")
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sample_goes_filled_in_to_evaluate_and_estimates_the_table(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "to-judge.csv"
    words = ["--labels", str(labels), "--rows", "300", "--out", str(out), "--known", str(JUDGED)]
    assert main(words) == 0
    rows = read(out)
    assert out.read_bytes().startswith(b"\xef\xbb\xbf"), "a spreadsheet knows UTF-8 by it"
    assert tuple(rows[0]) == COLUMNS
    assert sum(int(row["times_drawn"]) for row in rows) == 300
    assert len({(row["query"], row["title"]) for row in rows}) == len(rows)
    judgements = {(row["query"], row["title"]): row["label"] for row in read(JUDGED)}
    assert all(row["label"] == judgements[unguarded(row["query"]), unguarded(row["title"])] for row in rows)
    assert "qtr evaluate --judged" in capsys.readouterr().out
    figures = []
    for file in (out, JUDGED):
        assert evaluate(["--judged", str(file), "--labels", LABELS, "--json", "--out", str(tmp_path / "e")]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    sampled, whole = figures
    assert sampled["judged"]["sample"] == "random"
    assert sampled["judged"]["rows_represented"] == 2 * whole["judged"]["rows"]
    for metric in ("auc", "precision", "recall"):
        interval = sampled["metrics"]["model"][metric]
        assert interval["low"] <= whole["metrics"]["model"][metric]["value"] <= interval["high"], metric


def test_an_uncertain_choice_is_nearest_to_the_threshold_and_says_that_it_is_a_choice(
    labels: Path, scorer: Scorer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "uncertain.csv"
    words = ["--labels", str(labels / "run_date=2026-11-02"), "--choose", "uncertain", "--rows", "30"]
    assert main([*words, "--out", str(out), "--known", str(JUDGED)]) == 0
    rows = read(out)
    assert {(row["inclusion_probability"], row["times_drawn"]) for row in rows} == {("", "")}
    everything = [(row["query"], row["title"]) for row in read(JUDGED)]
    distance = np.abs(scorer.score_texts(*map(list, zip(*everything, strict=True))).scores - 0.559)
    nearest = {everything[row] for row in np.argsort(distance)[:25]}
    assert nearest <= {(unguarded(row["query"]), unguarded(row["title"])) for row in rows}
    assert len(rows) == 30
    capsys.readouterr()
    assert evaluate(["--judged", str(out), "--labels", LABELS, "--out", str(tmp_path / "e")]) == 0
    assert "chosen, not drawn at random" in capsys.readouterr().out


def test_a_disputed_choice_has_the_pairs_that_two_models_label_otherwise(
    labels: Path, student: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(student.path, tmp_path / "shifted")
    manifest = student.manifest
    shifted = Calibration(slope=manifest.calibration.slope, intercept=manifest.calibration.intercept - 1.0)
    other = write_bundle(tmp_path / "shifted", manifest.model_copy(update={"calibration": shifted}))
    out = tmp_path / "disputed.csv"
    words = ["--labels", str(labels), "--choose", "disputed", "--against", str(other.path), "--rows", "20"]
    assert main([*words, "--out", str(out)]) == 0
    rows = read(out)
    texts = [unguarded(row["query"]) for row in rows], [unguarded(row["title"]) for row in rows]
    assert (Scorer(student).score_texts(*texts).labels != Scorer(other).score_texts(*texts).labels).all()


@pytest.mark.parametrize(
    "text", ["=1+1", "-2", "@a", "mar 5", "10-12", "1e5", "'quoted", "TRUE", "\t=x", "red mug", "é"]
)
def test_no_cell_is_a_formula_a_date_or_a_number_and_each_comes_back(text: str, tmp_path: Path) -> None:
    write_sample(tmp_path / "a.csv", [(text, text, "", "", "")])
    [row] = read(tmp_path / "a.csv")
    assert row["query"][0] == "'" or row["query"][0].isalpha()
    assert unguarded(row["query"]) == text
    assert row["query"] == text or row["query"] == f"'{text}"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--labels", "/nonexistent"], "/nonexistent: no such folder"),
        (["--labels", "s3a://shop/labels"], "expected a folder of this machine"),
        (
            ["--run-date", "2026-12-01"],
            "nothing is published for --run-date 2026-12-01; the dates are 2026-11-01, 2026-11",
        ),
        (["--query-column", "q"], "column q is missing; the columns are query, title, score, label"),
        (["--choose", "disputed"], "--choose disputed and --against"),
        (["--known", "/nonexistent.csv"], "/nonexistent.csv: no such file"),
        (["--out", str(JUDGED)], "exists, and may hold judgements: give another name to --out"),
        (["--out", "/dev/null/x.csv"], "--out: /dev/null/x.csv cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], complaint: str, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = {"--labels": str(labels), "--out": str(tmp_path / "x.csv")}
    given = [word for flag, value in defaults.items() if flag not in words for word in (flag, value)]
    try:
        status = main([*words, *given])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith("qtr sample: ")
    assert complaint in printed
