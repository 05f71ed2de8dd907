"""The folder of scores is read while runs of other dates add to it and clean up in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.parquet_scores import ModelKey, ParquetScores


class Racing(HadoopFileSystem):
    """Runs `meanwhile` after each listing of a folder."""

    def names(self, folder: str) -> list[str]:
        found = super().names(folder)
        self.meanwhile()
        return found

    def meanwhile(self) -> None:
        """Do nothing."""


def _remove(folder: Path) -> None:
    if folder.exists():
        folder.rmdir()


@pytest.fixture
def filesystem(spark: SparkSession) -> Racing:
    return Racing(spark)


@pytest.fixture
def scores(spark: SparkSession, filesystem: Racing, tmp_path: Path) -> ParquetScores:
    return ParquetScores(spark, filesystem, str(tmp_path), ModelKey("student", "1"))


def test_a_batch_that_is_deleted_meanwhile_is_left_out(
    scores: ParquetScores, filesystem: Racing, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, failed = Path(scores.batch("kept")), Path(scores.batch("failed"))
    for folder in (kept, failed):
        folder.mkdir(parents=True)
    monkeypatch.setattr(filesystem, "meanwhile", partial(_remove, failed))
    found = scores.read()
    assert found is not None
    assert found.count() == 0
    monkeypatch.setattr(filesystem, "meanwhile", partial(_remove, kept))
    assert scores.read() is None
