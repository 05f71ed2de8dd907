"""A judged file of a shop is read with its labels, weights and gaps; what cannot be read is named with a way out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import DataError
from evaluation.judged_file import JudgedColumns, read_judged_file


def write(folder: Path, lines: Sequence[str], name: str = "judged.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("Yes", "no"), ("relevant", "Not relevant"), ("TRUE", "FALSE")])
def test_usual_labels_need_no_explanation_and_blank_ones_are_not_judged(yes: str, no: str, tmp_path: Path) -> None:
    path = write(tmp_path, ["query,title,label", f"mug,red mug,{yes}", f"mug,sofa, {no} ", "mug,blue mug,", "mug,,1"])
    judged = read_judged_file(path, JudgedColumns())
    assert judged.relevant.tolist() == [1, 0]
    assert (judged.unjudged, judged.unreadable, judged.weights, judged.sample) == (1, 1, None, "none")


def test_graded_labels_are_as_the_shop_says(tmp_path: Path) -> None:
    path = write(tmp_path, ["q,t,grade,brand", "mug,red mug,3,a", "mug,cup,2,b", "mug,sofa,0,c", "mug,?,?,d"])
    columns = JudgedColumns("q", "t", "grade", {"3": 1, "2": 0.5, "0": 0}, {"3": 7.0}, ("?",), ("brand",))
    judged = read_judged_file(path, columns)
    assert judged.relevant.tolist() == [1, 1, 0]
    assert judged.gain.tolist() == [7.0, 0.5, 0.0]
    assert judged.grades == ["3", "2", "0"]
    assert judged.columns == {"brand": ["a", "b", "c"]}


def test_a_filled_in_sample_comes_back_from_a_spreadsheet_with_its_weights(tmp_path: Path) -> None:
    """Saved where a comma is the decimal sign: semicolons, decimal commas, exponents, apostrophes kept."""
    lines = ["\ufeffquery;title;label;inclusion_probability;times_drawn"]
    lines += ["'=mug;red mug;1;0,25;1", "'10-12;'+sofa;0;1E-02;3", "'it;cup;;1;1"]
    judged = read_judged_file(write(tmp_path, lines), JudgedColumns())
    assert (judged.queries, judged.titles) == (["=mug", "10-12"], ["red mug", "+sofa"])
    assert judged.weights is not None
    np.testing.assert_allclose(judged.weights, [4.0, 300.0])
    assert judged.sample == "random"


def test_a_choice_of_rows_has_no_weights(tmp_path: Path) -> None:
    lines = ["query,title,label,inclusion_probability", "mug,red mug,1,", "mug,sofa,0,"]
    judged = read_judged_file(write(tmp_path, lines), JudgedColumns())
    assert (judged.weights, judged.sample) == (None, "chosen")


@pytest.mark.parametrize(
    ("lines", "columns", "complaint"),
    [
        (["q,title,label", "a,b,1"], JudgedColumns(), r"column query is missing; .* q, title, label: .*--query-column"),
        ([""], JudgedColumns(), r"judged.csv: is empty; expected a header and rows"),
        (["query,title,label", "a,b,"], JudgedColumns(), "column label is empty: fill in a label"),
        (["query,title,label", "a,b,2", "a,c,0", "a,d,4"], JudgedColumns(), r"--labels '0=0,2=0.5,4=1'"),
        (["query,title,label", "a,b,good", "a,c,bad"], JudgedColumns(), r"--labels 'good=…,bad=…'"),
        (
            ["query,title,label", "a,b,good", "a,c,meh"],
            JudgedColumns(labels={"good": 1.0}),
            r"row 2 has the label 'meh', which is not in --labels \(good\): add it, or give it to --ignore",
        ),
        (
            ["query,title,label,inclusion_probability", "a,b,1,0.5", "a,c,0,"],
            JudgedColumns(),
            r"row 2: inclusion_probability is '', expected a number above 0",
        ),
        (
            ["query,title,label,inclusion_probability", "a,b,1,1.5"],
            JudgedColumns(),
            r"row 1: inclusion_probability is '1.5', expected a number above 0, at most 1",
        ),
        (
            ["query,title,label,inclusion_probability,times_drawn", "a,b,1,0.5,x"],
            JudgedColumns(),
            r"row 1: times_drawn is 'x'",
        ),
    ],
)
def test_what_cannot_be_read_is_named(lines: list[str], columns: JudgedColumns, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        read_judged_file(write(tmp_path, lines), columns)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"/nonexistent\.csv: no such file"):
        read_judged_file(Path("/nonexistent.csv"), JudgedColumns())
