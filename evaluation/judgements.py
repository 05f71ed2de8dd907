"""Judged pairs of every source in one format: a probability and a gain per row, and the side of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.errors import DataError
from evaluation.judgement_sources import EsciJudgements, Judgements, Labels, TableJudgements, WandsJudgements
from evaluation.query_text import plain
from evaluation.tables import Columns, read_table
from relevance_model.tokenizer import DEFAULT_MAX_TEXT_BYTES

TRAIN: Final = "train"
TEST: Final = "test"
RELEVANT_FROM: Final = 0.5


@dataclass(slots=True)
class Judged:
    """Judged rows in columns.

    Attributes
    ----------
    queries, titles
        Texts, not empty.
    target
        Probability of relevance that stands for the label, float32 [N].
    gain
        Gain of the row in NDCG, float32 [N].
    split
        "train" or "test" if the source has a split, else "".
    labels
        Labels as the file has them.
    rows
        Number of each row in its file, from 0, int64 [N].
    """

    queries: list[str]
    titles: list[str]
    target: npt.NDArray[np.float32]
    gain: npt.NDArray[np.float32]
    split: list[str]
    labels: list[str]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Sequence[int]) -> Judged:
        """Return some rows."""
        index = np.asarray(rows, dtype=np.int64)
        return Judged(
            [self.queries[i] for i in index],
            [self.titles[i] for i in index],
            self.target[index],
            self.gain[index],
            [self.split[i] for i in index],
            [self.labels[i] for i in index],
            self.rows[index],
        )


@dataclass(frozen=True, slots=True)
class SourceContent:
    """The content of one source.

    Attributes
    ----------
    judged
        Its judgements.
    titles
        Every title that it lists.
    files
        The number of rows of each of its files.
    unreadable
        The number of rows left out because a bundle could not score a text: it is empty, unreadable or too long.
    """

    judged: Judged
    titles: list[str]
    files: dict[Path, int]
    unreadable: int


def read_judgements(source: Judgements, root: Path) -> SourceContent:
    """Read one source of judgements; paths are below `root`.

    Raises
    ------
    DataError
        If a file, a column or a product is missing, or a label is unknown.
    """
    if isinstance(source, WandsJudgements):
        return _wands(source, root / source.path)
    if isinstance(source, EsciJudgements):
        return _esci(source, root / source.examples, root / source.products)
    return _table(source, root / source.path)


def join(parts: Sequence[Judged]) -> Judged:
    """Concatenate sources and check the split.

    Raises
    ------
    DataError
        If a query is on both sides of a split, one side is empty, or only some sources have a split.
    """
    whole = Judged(
        [query for part in parts for query in part.queries],
        [title for part in parts for title in part.titles],
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.gain for part in parts]),
        [side for part in parts for side in part.split],
        [label for part in parts for label in part.labels],
        np.concatenate([part.rows for part in parts]),
    )
    check_split(whole)
    return whole


def check_split(judged: Judged) -> None:
    """Check the split: all rows or none have one, both sides have rows, and every query is on one side.

    Raises
    ------
    DataError
        If a rule is broken.

    Examples
    --------
    >>> ones, rows = np.ones(2, dtype=np.float32), np.arange(2)
    >>> check_split(Judged(["mug", "Mug "], ["red", "blue"], ones, ones, ["train", "test"], ["1", "1"], rows))
    Traceback (most recent call last):
        ...
    evaluation.errors.DataError: query 'Mug ' is in both train and test; a query must be on one side of the split
    """
    sides = set(judged.split)
    if sides == {""}:
        return
    if "" in sides:
        raise DataError(
            "some judged rows have a side of the split (train or test) and others have none: split all or none"
        )
    for side in (TRAIN, TEST):
        if side not in sides:
            raise DataError(f"the judgements' split has no {side} rows")
    side_of: dict[str, str] = {}
    for query, side in zip(judged.queries, judged.split, strict=True):
        if side_of.setdefault(query.strip().lower(), side) != side:
            raise DataError(f"query {query!r} is in both train and test; a query must be on one side of the split")


def without_test_queries(judged: Judged) -> Judged:
    """Return the rows without those of train whose query differs only in writing from one of test."""
    tested = {plain(query) for query, side in zip(judged.queries, judged.split, strict=True) if side == TEST}
    sides = enumerate(zip(judged.queries, judged.split, strict=True))
    return judged.take([row for row, (query, side) in sides if side == TEST or plain(query) not in tested])


def _table(source: TableJudgements, path: Path) -> SourceContent:
    names = [source.query, source.title, source.label, *([source.split] if source.split else []), *source.where]
    columns = read_table(path, list(dict.fromkeys(names)), separator=source.separator)
    if source.where:
        rows = [
            row
            for row in range(len(columns[source.query]))
            if all(columns[name][row] in values for name, values in source.where.items())
        ]
        if not rows:
            raise DataError(f"{path}: no row has the values that where asks for ({', '.join(source.where)})")
        columns = {name: [values[row] for row in rows] for name, values in columns.items()}
    split = columns[source.split] if source.split else [""] * len(columns[source.query])
    for side in set(split) - {TRAIN, TEST} if source.split else ():
        raise DataError(f"{path}: column {source.split} holds {side!r}; expected {TRAIN} or {TEST}")
    judged, unreadable = labelled(
        path, source, columns[source.query], columns[source.title], labels=columns[source.label], split=split
    )
    return SourceContent(judged, judged.titles, {path: len(split)}, unreadable)


def _wands(source: WandsJudgements, folder: Path) -> SourceContent:
    products, queries, labels = folder / "product.csv", folder / "query.csv", folder / "label.csv"
    product = read_table(products, ["product_id", "product_name"], separator="\t")
    query = read_table(queries, ["query_id", "query"], separator="\t")
    label = read_table(labels, ["query_id", "product_id", "label"], separator="\t")
    name_of = _by_id(products, product, "product_id", "product_name")
    text_of = _by_id(queries, query, "query_id", "query")
    judged, unreadable = labelled(
        labels,
        source,
        [_found(text_of, key, labels, "query_id", queries) for key in label["query_id"]],
        [_found(name_of, key, labels, "product_id", products) for key in label["product_id"]],
        labels=label["label"],
        split=[""] * len(label["label"]),
    )
    rows = {products: len(name_of), queries: len(text_of), labels: len(label["label"])}
    return SourceContent(judged, product["product_name"], rows, unreadable)


def _esci(source: EsciJudgements, examples: Path, products: Path) -> SourceContent:
    wanted = ["query", "product_id", "product_locale", "esci_label", "small_version", "split"]
    example = read_table(examples, wanted)
    product = read_table(products, ["product_id", "product_locale", "product_title"])
    rows = [
        row
        for row, (locale, small) in enumerate(zip(example["product_locale"], example["small_version"], strict=True))
        if locale == source.locale and (not source.small or small in {"1", "true"})
    ]
    if not rows:
        raise DataError(
            f"{examples}: no row has product_locale {source.locale!r}" + " in the small version" * source.small
        )
    titles = {
        key: title
        for key, locale, title in zip(*(product[name] for name in product), strict=True)
        if locale == source.locale
    }
    split = [example["split"][row] for row in rows]
    for side in set(split) - {TRAIN, TEST}:
        raise DataError(f"{examples}: column split holds {side!r}; expected {TRAIN} or {TEST}")
    judged, unreadable = labelled(
        examples,
        source,
        [example["query"][row] for row in rows],
        [_found(titles, example["product_id"][row], examples, "product_id", products) for row in rows],
        labels=[example["esci_label"][row] for row in rows],
        split=split,
    )
    files = {examples: len(example["query"]), products: len(product["product_id"])}
    return SourceContent(judged, list(titles.values()), files, unreadable)


def labelled(
    path: Path, source: Labels, queries: list[str], titles: list[str], *, labels: list[str], split: list[str]
) -> tuple[Judged, int]:
    """Return the judgements, labels turned into targets and gains, and the number of rows with an unreadable text.

    Rows with an ignored label or an unreadable text are left out.
    """
    unknown = sorted(set(labels) - set(source.labels) - set(source.ignore))
    if unknown:
        known = ", ".join([*source.labels, *source.ignore]) or "none"
        raise DataError(f"{path}: unknown label {unknown[0]!r}; the recipe's labels are {known}")
    counting = [row for row, label in enumerate(labels) if label not in source.ignore]
    rows = [row for row in counting if is_readable(queries[row]) and is_readable(titles[row])]
    if not rows:
        raise DataError(f"{path}: no row has a readable query, a readable title and a label that is not ignored")
    gains = {**source.labels, **source.gains}
    judged = Judged(
        [queries[row] for row in rows],
        [titles[row] for row in rows],
        np.array([source.labels[labels[row]] for row in rows], dtype=np.float32),
        np.array([gains[labels[row]] for row in rows], dtype=np.float32),
        [split[row] for row in rows],
        [labels[row] for row in rows],
        np.array(rows, dtype=np.int64),
    )
    return judged, len(counting) - len(rows)


def is_readable(text: str) -> bool:
    """Return whether a bundle scores the text: it has a readable character and is not too long."""
    return bool(plain(text)) and len(text.encode()) <= DEFAULT_MAX_TEXT_BYTES


def _by_id(path: Path, columns: Columns, key: str, text: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for one, value in zip(columns[key], columns[text], strict=True):
        if texts.setdefault(one, value) != value:
            raise DataError(f"{path}: {key} {one!r} occurs twice, with different texts in {text}")
    return texts


def _found(texts: dict[str, str], key: str, path: Path, column: str, where: Path) -> str:
    text = texts.get(key)
    if text is None:
        raise DataError(f"{path}: {column} {key!r} is not in {where.name}")
    return text
