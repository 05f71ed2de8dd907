"""The judged rows and their folds: which rows a model is trained on, and which it is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from distillation.pipeline.workspace import Context, read_columns
from evaluation.query_text import query_groups

FINAL: Final = "final"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit: its name, which is its folder in each step, and the masks `train` and `test`, bool [judged rows]."""

    name: str
    train: Mask
    test: Mask


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """The judgements as step `prepare` wrote them.

    Attributes
    ----------
    queries, titles
        Texts.
    target, gain
        Probability of relevance and gain in NDCG that stand for the label, float32 [N].
    relevant
        0 or 1, int64 [N].
    fold
        Fold that the row is measured in, -1 for none, int64 [N].
    """

    queries: list[str]
    titles: list[str]
    target: npt.NDArray[np.float32]
    gain: npt.NDArray[np.float32]
    relevant: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """The number of each row's query, equal for queries that differ only in writing, int64 [N]."""
        return query_groups(self.queries)

    @property
    def measured(self) -> Mask:
        """The rows that are measured in some fold, bool [N]."""
        return self.fold >= 0

    def part(self, mask: Mask) -> tuple[npt.NDArray[np.int64], list[str], list[str]]:
        """Return the rows in `mask`, their queries and their titles."""
        rows = np.flatnonzero(mask)
        return rows, [self.queries[row] for row in rows], [self.titles[row] for row in rows]

    def evaluated_queries(self, mask: Mask | None = None) -> list[str]:
        """Return the distinct queries of the measured rows, or of those in `mask`."""
        wanted = self.measured if mask is None else mask
        return list(dict.fromkeys(self.queries[row] for row in np.flatnonzero(wanted)))


def read_judged(context: Context) -> JudgedRows:
    """Read the judgements that `prepare` wrote."""
    columns: dict[str, Any] = read_columns(context.folder("prepare") / "judged.parquet")
    return JudgedRows(
        columns["query"],
        columns["title"],
        columns["target"],
        columns["gain"],
        columns["relevant"].astype(np.int64),
        columns["fold"],
    )


def folds_of(judged: JudgedRows) -> list[Fold]:
    """Return the fits: one per fold, and `final`, the one that ships.

    If the judgements have a split, there is only `final`: it is trained on one side and measured on the other. If folds
    were drawn, `final` is trained on all rows and not measured.
    """
    fold = judged.fold
    if (fold == -1).any():
        return [Fold(FINAL, fold == -1, fold == 0)]
    drawn = [Fold(f"fold-{number}", fold != number, fold == number) for number in range(int(fold.max()) + 1)]
    return [*drawn, Fold(FINAL, fold >= 0, np.zeros(len(fold), dtype=bool))]
