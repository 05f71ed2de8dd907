"""`qtr calibrate`: a new bundle whose scores are right for the judged pairs, or a refusal that says what is missing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.judged_file import JudgedColumns, read_judged_file
from evaluation.metrics import calibration_error, recall
from qtr.calibrate import main
from relevance_model import Bundle, Scorer
from tests.conftest import ROOT

JUDGED = ROOT / "examples" / "judged" / "sample.csv"
LABELS = "exact=1,partial=0.4,wrong=0"


def test_a_new_bundle_is_calibrated_to_the_judged_pairs_and_names_where_it_comes_from(
    student: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "bundle"
    words = ["--judged", str(JUDGED), "--labels", LABELS, "--out", str(out), "--aim", "recall=0.9", "--json"]
    assert main([*words, "--resamples", "100"]) == 0
    printed = json.loads(capsys.readouterr().out)
    ece = {which: figure["value"] for which, figure in printed["figures"]["calibration_error"].items()}
    assert ece["old"] > 0.15
    assert ece["new"] < 0.05
    bundle = Bundle.load(out)
    old, new = student.manifest, bundle.manifest
    assert new.version.startswith(f"{old.version}+cal.")
    assert new.lineage["recalibration"]["from"]["sha256"] == student.sha256
    assert new.lineage["recalibration"]["judged"]["rows"] == 526
    assert new.lineage["recalibration"]["judged"]["relevant_labels"] == ["exact"]
    assert new.files["text.onnx"] == old.files["text.onnx"]
    assert f"Recalibration: {new.version}" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    judged = read_judged_file(JUDGED, JudgedColumns(labels={"exact": 1, "partial": 0.4, "wrong": 0}))
    result = Scorer(bundle).score_texts(judged.queries, judged.titles)
    assert calibration_error(judged.relevant, result.scores.astype(np.float64)) < 0.05
    assert recall(judged.relevant, result.labels.astype(int)) == pytest.approx(0.9, abs=0.01)
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    # Calibrated again, the mark of the first time is replaced; the same input gives the same bytes.
    for name in ("a", "b"):
        again = [*words[:5], str(tmp_path / name), "--bundle", str(out), "--resamples", "100"]
        assert main(again) == 0
    assert Bundle.load(tmp_path / "a").manifest.version.count("+cal.") == 1
    assert Bundle.load(tmp_path / "a").manifest.version != new.version
    assert Bundle.load(tmp_path / "a").sha256 == Bundle.load(tmp_path / "b").sha256


def test_neither_torch_nor_spark_nor_grpc_is_imported(tmp_path: Path) -> None:
    words = ["calibrate", "--judged", str(JUDGED), "--labels", LABELS, "--out", str(tmp_path / "new")]
    code = (
        f"import sys; from qtr.__main__ import main; main({words}); "
        "sys.exit(bool({'grpc', 'matplotlib', 'pyspark', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "wrote" in result.stdout


def _judged(folder: Path, keep: object) -> Path:
    with JUDGED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if keep(row)]  # type: ignore[operator]
    path = folder / "judged.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("keep", "words", "complaint"),
    [
        (lambda row: row["query"] < "c", [], "queries are judged, at least 20 are needed"),
        (lambda row: row["label"] != "exact", [], "0 relevant pairs are judged, at least 20 are needed"),
        (lambda row: row["label"] == "exact", [], "0 irrelevant pairs are judged, at least 20 are needed"),
        (lambda _: True, ["--labels", "exact=0,partial=0,wrong=1"], "no better than chance"),
        (lambda _: True, ["--aim", "precision=0.99"], "no threshold has a precision of 0.99 on 10 rows or more"),
    ],
)
def test_pairs_that_do_not_bear_a_calibration_are_refused(
    keep: object, words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--judged", str(_judged(tmp_path, keep)), "--labels", LABELS, "--out", str(tmp_path / "new"), *words]
    assert main([*flags, "--resamples", "100"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("qtr calibrate: ")
    assert complaint in printed
    assert not (tmp_path / "new").exists()


def test_a_choice_by_score_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chosen.csv"
    path.write_text("query,title,label,inclusion_probability\nmug,red mug,1,\nmug,sofa,0,\n", encoding="utf-8")
    assert main(["--judged", str(path), "--out", str(tmp_path / "new")]) == 1
    assert "chosen by their scores" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--judged", "/nonexistent.csv"], "/nonexistent.csv: no such file"),
        (["--out", "/"], "/ exists: give the name of a new folder to --out"),
        (["--out", "/dev/null/x"], "--out: /dev/null/x cannot be written"),
        (["--aim", "accuracy"], "--aim: 'accuracy': expected f1, precision=SHARE"),
        (["--bundle", "/nonexistent"], "bundle /nonexistent: no such folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = {"--judged": str(JUDGED), "--out": str(tmp_path / "new"), "--resamples": "100", "--labels": LABELS}
    given = [word for flag, value in defaults.items() if flag not in words for word in (flag, value)]
    try:
        status = main([*words, *given])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr().err
    assert (status, printed.count("\n")) == (2, 1)
    assert complaint in printed
