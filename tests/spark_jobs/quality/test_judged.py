"""Judged pairs in a run: the figures are those of the library, and the file is read as people leave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from evaluation.metrics import Ranking, precision, recall
from spark_jobs.errors import InputError
from spark_jobs.input.reader import read_judged
from spark_jobs.quality.judged import Group, figures_of, judged_pairs
from spark_jobs.settings import JUDGED_RELEVANT
from spark_jobs.storage.filesystem import HadoopFileSystem


@given(st.lists(st.builds(Group, st.sampled_from([0.1, 0.5, 0.9]), st.booleans(), st.booleans(), st.integers(1, 5))))
def test_the_figures_are_those_of_the_library(groups: list[Group]) -> None:
    found = figures_of(groups, len(groups), 99)
    columns: Any = [np.array(each) for each in zip(*groups, strict=True)] if groups else [np.zeros(0)] * 4
    scores, said, relevant, weights = columns
    expected = [precision(relevant, said, weights), recall(relevant, said, weights)] if groups else [np.nan, np.nan]
    expected.append(Ranking(relevant, scores).auc(weights) if groups else np.nan)
    for ours, theirs in zip((found.precision, found.recall, found.auc), expected, strict=True):
        assert (np.nan if ours is None else ours) == pytest.approx(theirs, nan_ok=True)


def read(spark: SparkSession, folder: Path, text: str) -> list[tuple[str, str, bool, float]]:
    path = folder / "judged.csv"
    path.write_text(text, encoding="utf-8-sig")
    frame = read_judged(spark, HadoopFileSystem(spark), str(path))
    return sorted(tuple(row) for row in judged_pairs(frame, JUDGED_RELEVANT, str(path)).collect())


def test_a_filled_in_sample_has_weights_and_its_texts_back(spark: SparkSession, tmp_path: Path) -> None:
    text = "query,title,label,inclusion_probability,times_drawn\n"
    text += "'=mug,red mug,Yes,0.25,1\n'10-12,sofa,no,\"0,5\",3\nnot,judged,,1,1\n"
    assert read(spark, tmp_path, text) == [("10-12", "sofa", False, 6.0), ("=mug", "red mug", True, 4.0)]


def test_several_judgements_of_a_pair_are_one_by_majority(spark: SparkSession, tmp_path: Path) -> None:
    text = "query,title,label\nmug,cup,1\nmug,cup,0\nmug,cup,1\n'mug,cup,0\n"
    assert read(spark, tmp_path, text) == [("'mug", "cup", False, 1.0), ("mug", "cup", True, 3.0)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("query,title\na,b\n", "has no column 'label', it has 'query', 'title'"),
        ("q,title,label\na,b,1\n", "--judged: the input has no column 'query'"),
        ("query,title,label\na,b,\n", "has no row with a label"),
        ("query,title,label,inclusion_probability\na,b,1,0.5\na,c,0,?\n", "1 judged rows lack a number above 0"),
    ],
)
def test_a_fault_is_named(text: str, complaint: str, spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        read(spark, tmp_path, text)
