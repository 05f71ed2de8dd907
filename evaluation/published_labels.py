"""The published labels of a run date, read batch by batch: a night need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.errors import DataError
from evaluation.tables import parquet_files

_PARTITION: Final = "run_date="
_BATCH_ROWS: Final = 1 << 16
SCORE: Final = "score"
LABEL: Final = "label"


@dataclass(frozen=True)
class ScoredBatch:
    """Rows that have a score: their texts, scores float64 [N] and labels."""

    table: pa.Table
    scores: npt.NDArray[np.float64]

    def texts(self, column: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return a column's texts in some rows."""
        texts: list[str] = self.table[column].take(pa.array(rows)).cast(pa.string()).to_pylist()
        return texts


class PublishedLabels:
    """The Parquet files that `qtr label` publishes, or any with the columns of a pair and its score.

    Attributes
    ----------
    path
        The partition that is read.
    columns
        Names of the columns of query and title.

    Parameters
    ----------
    folder
        The folder `labels` of a run's output, one of its partitions, or a file.
    run_date
        Which partition; the newest if there are some and none is given.

    Raises
    ------
    DataError
        If there is no such folder, partition or column.
    """

    def __init__(self, folder: Path, run_date: date | None, *, query: str = "query", title: str = "title") -> None:
        if "://" in str(folder) or str(folder).startswith("s3a:"):
            raise DataError(f"{folder}: expected a folder of this machine; copy the partition of one date here")
        if not folder.exists():
            raise DataError(f"{folder}: no such folder; expected the folder labels in the output of qtr label")
        self.path = _partition(folder, run_date)
        self.columns = (query, title)
        self._files = parquet_files(self.path)
        for column in (query, title, SCORE, LABEL):
            present = self._schema(self._files[0]).names
            if column not in present:
                raise DataError(f"{self._files[0]}: column {column} is missing; the columns are {', '.join(present)}")

    def scores(self) -> Iterator[npt.NDArray[np.float64]]:
        """Yield the scores of the rows that have one, float64 [rows of a batch]."""
        for batch in self._read([SCORE]):
            yield batch.scores

    def batches(self) -> Iterator[ScoredBatch]:
        """Yield the rows that have a score, in the same batches as `scores`."""
        yield from self._read([*self.columns, SCORE, LABEL])

    def _read(self, columns: list[str]) -> Iterator[ScoredBatch]:
        for file in self._files:
            try:
                with pq.ParquetFile(file) as opened:
                    for batch in opened.iter_batches(_BATCH_ROWS, columns=columns):
                        yield _scored(file, pa.Table.from_batches([batch]))
            except (OSError, pa.ArrowException, KeyError) as error:
                raise DataError(f"{file}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None

    def _schema(self, file: Path) -> pa.Schema:
        try:
            return pq.read_schema(file)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def _scored(file: Path, table: pa.Table) -> ScoredBatch:
    """Return the rows that have a score."""
    column = table[SCORE]
    if not pa.types.is_floating(column.type):
        raise DataError(f"{file}: column {SCORE} has the type {column.type}, expected numbers from 0 to 1")
    table = table.filter(pc.is_finite(column))
    scores: npt.NDArray[np.float64] = table[SCORE].to_numpy().astype(np.float64)
    if len(scores) and not 0.0 <= scores.min() <= scores.max() <= 1.0:
        raise DataError(f"{file}: column {SCORE} goes from {scores.min():g} to {scores.max():g}, expected 0 to 1")
    return ScoredBatch(table, scores)


def _partition(folder: Path, run_date: date | None) -> Path:
    """Return the partition of a date; without a date the newest, or the folder itself if it has none."""
    dates = sorted(path.name.removeprefix(_PARTITION) for path in folder.glob(f"{_PARTITION}*"))
    if run_date is None:
        return folder / f"{_PARTITION}{dates[-1]}" if dates else folder
    if folder.name == f"{_PARTITION}{run_date}":
        return folder
    if str(run_date) not in dates:
        there = f"the dates are {', '.join(dates[-5:])}" if dates else "there are no partitions by date"
        raise DataError(f"{folder}: nothing is published for --run-date {run_date}; {there}")
    return folder / f"{_PARTITION}{run_date}"
