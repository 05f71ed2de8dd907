"""Step `augment`: query-title pairs that nobody judged, of every kind that a student should have an opinion on.

`pairs.parquet` has `query`, `title`, `origin` (the kind), `asked` (the query before it was edited) and
`open`: 1 if neither query nor `asked` is akin to a measured one, so that models shared by all folds may learn from
the pair. The others are for the folds that do not measure their query; each fold asks its own guard
(`distillation.data.leakage`). A misspelt query shares no word with the right one: only `asked` tells whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from distillation.data.folds import read_judged
from distillation.data.lexical_features import Bm25
from distillation.data.perturbations import Lexicon, drop_word, exchange, misspell, reorder
from distillation.data.synthetic_queries import crops, phrases
from distillation.encoder.base_encoder import common_words
from distillation.encoder.embeddings import Vectors
from distillation.pipeline.workspace import Context, read_columns, write_columns, write_json
from distillation.teacher.ensemble import base_encoder, evaluation_guard, frozen_vectors

FOLDER: Final = "augment"
LOG: Final = "log"
_CROP_PARTNERS: Final = 4
_COMMON_WORDS: Final = 8_000
_PAIRS_PER_QUERY: Final = 4
_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class _Row:
    query: str
    title: str
    origin: str
    asked: str


def run(context: Context) -> None:
    """Make the pairs and write them."""
    recipe = context.recipe.augment
    rng = np.random.default_rng([context.recipe.seed, 2])
    prepared = context.folder("prepare")
    judged = read_judged(context)
    titles = read_columns(prepared / "titles.parquet")["title"]
    unjudged = read_columns(prepared / "queries.parquet")["query"]
    night = read_columns(prepared / "pairs.parquet")

    pairs = _Pairs()
    pairs.add(LOG, night["query"][: recipe.log], night["title"][: recipe.log])
    known = _known_queries(list(dict.fromkeys(judged.queries)), [*unjudged, *dict.fromkeys(night["query"])], rng)
    pairs.add("recombined", *_recombined(known, titles, recipe.recombined, rng))
    pairs.add("lexical", *_lexical(known, titles, recipe.lexical, recipe.neighbours, rng))
    if recipe.embedding:
        vectors, most = frozen_vectors(context), recipe.neighbours
        near = _near(known, titles, count=recipe.embedding, neighbours=most, vectors=vectors, rng=rng)
        pairs.add("embedding", *near)
    pairs.add("crop", *crops(titles, recipe.crops // _CROP_PARTNERS, _CROP_PARTNERS, rng))
    edited = list(pairs.rows)
    lexicon = Lexicon.of(titles)
    for origin, count, edit in _edits(recipe, lexicon, rng):
        pairs.add(origin, *_edited(edited, count, edit, rng))
    words = common_words(base_encoder(context), _COMMON_WORDS)
    pairs.add("phrase", *phrases([*unjudged, *words], recipe.phrases, rng))

    guard = evaluation_guard(context)
    asked = [row.asked for row in pairs.rows]
    is_open = guard.passing([row.query for row in pairs.rows]) & guard.passing(asked)
    write_columns(
        context.folder(FOLDER) / "pairs.parquet",
        {
            "query": [row.query for row in pairs.rows],
            "title": [row.title for row in pairs.rows],
            "origin": [row.origin for row in pairs.rows],
            "asked": asked,
            "open": is_open.astype(np.int8),
        },
    )
    counts = Counter(row.origin for row in pairs.rows)
    write_json(context.folder(FOLDER) / "report.json", {"rows": dict(counts), "open": int(is_open.sum())})
    told = ", ".join(f"{count:,} {origin}" for origin, count in counts.items())
    context.progress.say(f"augment: {len(pairs.rows):,} pairs ({told}); {(~is_open).sum():,} akin to measured queries")


class _Pairs:
    """Pairs so far, each once."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self._seen: set[tuple[str, str]] = set()

    def add(
        self, origin: str, queries: Sequence[str], titles: Sequence[str], asked: Sequence[str] | None = None
    ) -> None:
        for query, title, first in zip(queries, titles, queries if asked is None else asked, strict=True):
            if query.strip() and title.strip() and (query, title) not in self._seen:
                self._seen.add((query, title))
                self.rows.append(_Row(query, title, origin, first))


def _known_queries(
    judged: Sequence[str], others: Sequence[str], rng: np.random.Generator
) -> Callable[[int], list[str]]:
    """Return a draw of queries: every other one judged, as those are what the student will be asked most like."""

    def draw(count: int) -> list[str]:
        first = [judged[i] for i in rng.integers(0, len(judged), size=count if not others else (count + 1) // 2)]
        second = [others[i] for i in rng.integers(0, len(others), size=count - len(first))] if others else []
        return first + second

    return draw


def _recombined(
    draw: Callable[[int], list[str]], titles: Sequence[str], count: int, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    queries = draw(count)
    return queries, [titles[i] for i in rng.integers(0, len(titles), size=len(queries))]


def _lexical(
    draw: Callable[[int], list[str]], titles: Sequence[str], count: int, neighbours: int, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    index = Bm25(titles) if count else None
    queries: list[str] = []
    paired: list[str] = []
    for query, times in Counter(draw(count)).items():
        best = index.best(query, max(neighbours, times)) if index is not None else np.zeros(0, dtype=np.int64)
        for row in rng.permutation(best)[:times].tolist():
            queries.append(query)
            paired.append(titles[row])
    return queries, paired


def _near(
    draw: Callable[[int], list[str]],
    titles: Sequence[str],
    *,
    count: int,
    neighbours: int,
    vectors: Vectors,
    rng: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Pair queries with titles near them by the frozen encoder; a query that is drawn once gets several."""
    asked = Counter(draw(max(1, count // _PAIRS_PER_QUERY)))
    distinct = list(asked)
    of_titles = vectors.of(titles).astype(np.float32)
    of_queries = vectors.of(distinct).astype(np.float32)
    queries: list[str] = []
    paired: list[str] = []
    for start in range(0, len(distinct), _BLOCK):
        cosine = of_queries[start : start + _BLOCK] @ of_titles.T
        for offset, row in enumerate(cosine):
            query = distinct[start + offset]
            times = min(asked[query] * _PAIRS_PER_QUERY, len(titles))
            most = min(max(neighbours, times), len(titles))
            best: npt.NDArray[np.intp] = np.argpartition(-row, most - 1)[:most]
            chosen = rng.permutation(best)[:times].tolist()
            queries += [query] * len(chosen)
            paired += [titles[i] for i in chosen]
    return queries, paired


def _edits(recipe: Any, lexicon: Lexicon, rng: np.random.Generator) -> list[tuple[str, int, Any]]:
    """Return kind, count and edit; an edit turns a pair into another, or None if there is nothing to change."""

    def either(change: Callable[[str, np.random.Generator], str | None]) -> Callable[[str, str], tuple[Any, Any]]:
        def edit(query: str, title: str) -> tuple[Any, Any]:
            return (change(query, rng), title) if rng.random() < 0.5 else (query, change(title, rng))

        return edit

    def swapped(query: str, title: str) -> tuple[Any, Any]:
        if rng.random() < 0.5:
            return exchange(query, title, lexicon, rng), title
        return query, exchange(title, query, lexicon, rng)

    return [
        ("typo", recipe.typos, lambda query, title: (misspell(query, rng), title)),
        ("dropped", recipe.dropped, either(drop_word)),
        ("reordered", recipe.reordered, either(reorder)),
        ("swapped", recipe.swapped, swapped),
    ]


def _edited(
    rows: Sequence[_Row], count: int, edit: Any, rng: np.random.Generator
) -> tuple[list[str], list[str], list[str]]:
    """Return edited queries and titles, and the queries that they were made of."""
    queries: list[str] = []
    titles: list[str] = []
    asked: list[str] = []
    # Some pairs have nothing to edit: twice as many are tried as are wanted.
    for row in rng.integers(0, max(1, len(rows)), size=2 * count if rows else 0).tolist():
        if len(queries) == count:
            break
        query, title = edit(rows[row].query, rows[row].title)
        if query is not None and title is not None:
            queries.append(query)
            titles.append(title)
            asked.append(rows[row].asked)
    return queries, titles, asked
