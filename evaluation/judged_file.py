"""A file of judged pairs as a shop has it: any labels, rows that are not judged yet, the weights of a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from evaluation.errors import DataError
from evaluation.judgement_sources import EsciJudgements, Judgements, Labels, WandsJudgements
from evaluation.judgements import RELEVANT_FROM, Judged, labelled, read_judgements
from evaluation.query_text import query_groups
from evaluation.sample_file import INCLUSION_PROBABILITY, TIMES_DRAWN, number_of, unguarded
from evaluation.tables import column_names, read_table

SampleKind = Literal["none", "random", "chosen"]
_PLAIN_LABELS: Final = {
    **dict.fromkeys(("1", "1.0", "yes", "y", "true", "relevant"), 1.0),
    **dict.fromkeys(("0", "0.0", "no", "n", "false", "irrelevant", "not relevant"), 0.0),
}

# Labels that an error message names.
_MOST_NAMED: Final = 8


@dataclass(frozen=True)
class JudgedColumns:
    """The columns of a judged table, and the meaning of its labels.

    Attributes
    ----------
    query, title, label
        Names of columns.
    labels, gains
        Label to probability of relevance, and to gain in NDCG; not needed for 1 and 0, yes and no, and the like.
    ignore
        Labels whose rows are left out.
    kept
        Further columns to read.
    """

    query: str = "query"
    title: str = "title"
    label: str = "label"
    labels: dict[str, float] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedPairs:
    """Judged pairs.

    Attributes
    ----------
    queries, titles, grades
        Texts, and labels as the file has them.
    relevant
        0 or 1, int64 [N].
    gain
        Gain in NDCG, float32 [N].
    weights
        Rows of the sampled table that the row stands for, float64 [N]; `None` unless the file is a random sample.
    columns
        The further columns that were asked for.
    sample
        Whether the file is a random sample of a table, a choice of its rows, or neither.
    unjudged, unreadable
        Rows left out because they have no label, or a text that no bundle could score.
    """

    queries: list[str]
    titles: list[str]
    grades: list[str]
    relevant: npt.NDArray[np.int64]
    gain: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64] | None = None
    columns: dict[str, list[str]] = field(default_factory=dict)
    sample: SampleKind = "none"
    unjudged: int = 0
    unreadable: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.queries)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """The number of each row's query, equal for queries that differ only in writing, int64 [N]."""
        return query_groups(self.queries)

    def take(self, rows: npt.NDArray[np.int64]) -> JudgedPairs:
        """Return some rows."""
        return JudgedPairs(
            [self.queries[row] for row in rows],
            [self.titles[row] for row in rows],
            [self.grades[row] for row in rows],
            self.relevant[rows],
            self.gain[rows],
            None if self.weights is None else self.weights[rows],
            {name: [values[row] for row in rows] for name, values in self.columns.items()},
            self.sample,
            self.unjudged,
            self.unreadable,
        )


def read_judged_file(path: Path, wanted: JudgedColumns) -> JudgedPairs:
    """Read a table, or the folder of WANDS or of the Shopping Queries data set (ESCI).

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, or a label has no meaning.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    source = _data_set(path)
    if source is not None:
        content = read_judgements(source, path)
        return _pairs(content.judged, unreadable=content.unreadable)
    present = column_names(path)
    for flag, name in (("query", wanted.query), ("title", wanted.title), ("label", wanted.label)):
        if name not in present:
            raise DataError(
                f"{path}: column {name} is missing; the columns are {', '.join(present)}: "
                f"name the one with the {flag} by --{flag}-column"
            )
    sampled = INCLUSION_PROBABILITY in present
    extra = [name for name in (INCLUSION_PROBABILITY, TIMES_DRAWN) if name in present]
    columns = read_table(path, list(dict.fromkeys([wanted.query, wanted.title, wanted.label, *wanted.kept, *extra])))
    queries, titles = columns[wanted.query], columns[wanted.title]
    if sampled:
        queries, titles = [unguarded(text) for text in queries], [unguarded(text) for text in titles]
    labels = [label.strip() for label in columns[wanted.label]]
    unjudged = labels.count("")
    if unjudged == len(labels):
        raise DataError(f"{path}: column {wanted.label} is empty: fill in a label for each row that is judged")
    meaning = _meaning(path, labels, wanted)
    judged, unreadable = labelled(path, meaning, queries, titles, labels=labels, split=[""] * len(labels))
    rows = judged.rows
    weights, kind = _weights(path, columns, rows) if sampled else (None, "none")
    kept = {name: [columns[name][row] for row in rows] for name in wanted.kept}
    return _pairs(judged, weights=weights, columns=kept, kind=kind, unjudged=unjudged, unreadable=unreadable)


def _pairs(
    judged: Judged,
    *,
    weights: npt.NDArray[np.float64] | None = None,
    columns: dict[str, list[str]] | None = None,
    kind: SampleKind = "none",
    unjudged: int = 0,
    unreadable: int = 0,
) -> JudgedPairs:
    relevant = (judged.target >= RELEVANT_FROM).astype(np.int64)
    return JudgedPairs(
        judged.queries, judged.titles, judged.labels, relevant, judged.gain, weights, columns or {}, kind,
        unjudged, unreadable,
    )  # fmt: skip


def _data_set(path: Path) -> Judgements | None:
    if (path / "label.csv").exists():
        return WandsJudgements(format="wands", path=".")
    if (path / "shopping_queries_dataset_examples.parquet").exists():
        return EsciJudgements(format="esci")
    return None


def _meaning(path: Path, labels: Sequence[str], wanted: JudgedColumns) -> Labels:
    ignore = ("", *wanted.ignore)
    found = Counter(label for label in labels if label not in ignore)
    if wanted.labels:
        unknown = [label for label in found if label not in wanted.labels]
        if unknown:
            raise DataError(
                f"{path}: row {labels.index(unknown[0]) + 1} has the label {unknown[0]!r}, which is not in --labels "
                f"({', '.join(wanted.labels)}): add it, or give it to --ignore"
            )
        return Labels(labels=wanted.labels, gains=wanted.gains, ignore=ignore)
    meanings = {label: _PLAIN_LABELS.get(label.lower()) for label in found}
    if all(value is not None for value in meanings.values()):
        return Labels(labels={label: value for label, value in meanings.items() if value is not None}, ignore=ignore)
    known = list(found)[:_MOST_NAMED]
    raise DataError(
        f"{path}: column {wanted.label} has {len(found)} labels ({', '.join(map(repr, known))}"
        f"{', …' if len(found) > len(known) else ''}); say what each means, as a probability of relevance of which 0.5 "
        f"and more is relevant: --labels '{_suggested(list(found))}'"
    )


def _suggested(labels: list[str]) -> str:
    """Return a value for --labels: numbers are scaled to 1, words are left to the reader."""
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        return ",".join(f"{label}=…" for label in labels[:_MOST_NAMED])
    most = max(numbers.values()) or 1.0
    ordered = sorted(numbers.items(), key=lambda item: item[1])
    return ",".join(f"{label}={max(0.0, number / most):.2g}" for label, number in ordered)


def _weights(
    path: Path, columns: dict[str, list[str]], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64] | None, SampleKind]:
    """Return how many rows of the sampled table each row stands for, and the kind of sample."""
    shares = [columns[INCLUSION_PROBABILITY][row].strip() for row in rows]
    if not any(shares):
        return None, "chosen"
    times = [columns[TIMES_DRAWN][row] if TIMES_DRAWN in columns else "1" for row in rows]
    weights = np.ones(len(rows))
    for place, (row, share, drawn) in enumerate(zip(rows, shares, times, strict=True)):
        probability, count = number_of(share), number_of(drawn)
        if probability is None or not 0.0 < probability <= 1.0:
            raise DataError(
                f"{path}: row {row + 1}: {INCLUSION_PROBABILITY} is {share!r}, expected a number above 0, at most 1"
            )
        if count is None or count <= 0.0:
            raise DataError(f"{path}: row {row + 1}: {TIMES_DRAWN} is {drawn!r}, expected a number above 0")
        weights[place] = count / probability
    return weights, "random"
