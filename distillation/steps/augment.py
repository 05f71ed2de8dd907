"""Step `augment`: unjudged query-title pairs of every kind that a student should be able to score.

`pairs.parquet` has `query`, `title`, `origin` (the kind), `source_query` (the query before perturbation) and
`for_all_folds`: 1 if the guard of all measured queries (`distillation.data.leakage`) lets `query` and `source_query`
pass, so that models shared by all folds may be trained on the pair. The other pairs are for folds whose own guard lets
them pass. A misspelt query may share no word with the query that it was made of, hence `source_query`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.folds import read_judged
from distillation.data.perturbations import Lexicon, drop_word, exchange, misspell, reorder
from distillation.data.synthetic_queries import crops, phrases
from distillation.encoder.base_encoder import common_words
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.pipeline.workspace import Context, read_columns, write_columns, write_json
from distillation.recipe.recipe import Augment
from distillation.teacher.ensemble import base_encoder, evaluation_guard, sentence_embeddings
from evaluation.baselines import Bm25

FOLDER: Final = "augment"
LOG: Final = "log"
_CROP_PARTNERS: Final = 4
_COMMON_WORDS: Final = 8_000
_PAIRS_PER_QUERY: Final = 4
_BLOCK: Final = 512
# Turns a query and a title into others; one of them is None if there is nothing to change.
_Perturbation = Callable[[str, str], tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class _Row:
    query: str
    title: str
    origin: str
    source_query: str


def run(context: Context) -> None:
    """Make the pairs and write them."""
    recipe = context.recipe.augment
    rng = np.random.default_rng([context.recipe.seed, 2])
    prepared = context.folder("prepare")
    judged = read_judged(context)
    titles = read_columns(prepared / "titles.parquet")["title"]
    unjudged = read_columns(prepared / "queries.parquet")["query"]
    log = read_columns(prepared / "pairs.parquet")

    pairs = _Pairs()
    pairs.add(LOG, log["query"][: recipe.log], log["title"][: recipe.log])
    draw = _query_sampler(list(dict.fromkeys(judged.queries)), [*unjudged, *dict.fromkeys(log["query"])], rng)
    pairs.add("recombined", *_recombined(draw, titles, recipe.recombined, rng))
    pairs.add("lexical", *_lexical(draw, titles, recipe.lexical, recipe.neighbours, rng))
    if recipe.embedding:
        embeddings, most = sentence_embeddings(context), recipe.neighbours
        near = _near(draw, titles, count=recipe.embedding, neighbours=most, embeddings=embeddings, rng=rng)
        pairs.add("embedding", *near)
    pairs.add("crop", *crops(titles, recipe.crops // _CROP_PARTNERS, _CROP_PARTNERS, rng))
    unperturbed = list(pairs.rows)
    lexicon = Lexicon.of(titles)
    for origin, count, perturb in _perturbations(recipe, lexicon, rng):
        pairs.add(origin, *_perturbed(unperturbed, count, perturb, rng))
    words = common_words(base_encoder(context), _COMMON_WORDS)
    pairs.add("phrase", *phrases([*unjudged, *words], recipe.phrases, rng))

    guard = evaluation_guard(context)
    source_queries = [row.source_query for row in pairs.rows]
    for_all_folds = guard.passing([row.query for row in pairs.rows]) & guard.passing(source_queries)
    write_columns(
        context.folder(FOLDER) / "pairs.parquet",
        {
            "query": [row.query for row in pairs.rows],
            "title": [row.title for row in pairs.rows],
            "origin": [row.origin for row in pairs.rows],
            "source_query": source_queries,
            "for_all_folds": for_all_folds.astype(np.int8),
        },
    )
    counts = Counter(row.origin for row in pairs.rows)
    report = {"rows": dict(counts), "for_all_folds": int(for_all_folds.sum())}
    write_json(context.folder(FOLDER) / "report.json", report)
    kinds = ", ".join(f"{count:,} {origin}" for origin, count in counts.items())
    blocked = (~for_all_folds).sum()
    context.progress.say(f"augment: {len(pairs.rows):,} pairs ({kinds}); {blocked:,} overlap with measured queries")


class _Pairs:
    """Collects distinct pairs."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self._seen: set[tuple[str, str]] = set()

    def add(
        self, origin: str, queries: Sequence[str], titles: Sequence[str], source_queries: Sequence[str] | None = None
    ) -> None:
        sources = queries if source_queries is None else source_queries
        for query, title, source in zip(queries, titles, sources, strict=True):
            if query.strip() and title.strip() and (query, title) not in self._seen:
                self._seen.add((query, title))
                self.rows.append(_Row(query, title, origin, source))


def _query_sampler(
    judged: Sequence[str], others: Sequence[str], rng: np.random.Generator
) -> Callable[[int], list[str]]:
    """Return a function that draws queries; half of them are judged ones, the most similar to those of production."""

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
    embeddings: SentenceEmbeddings,
    rng: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Pair queries with titles of high cosine by the frozen encoder; each drawn query gets several."""
    drawn = Counter(draw(max(1, count // _PAIRS_PER_QUERY)))
    distinct = list(drawn)
    of_titles = embeddings.of(titles).astype(np.float32)
    of_queries = embeddings.of(distinct).astype(np.float32)
    queries: list[str] = []
    paired: list[str] = []
    for start in range(0, len(distinct), _BLOCK):
        cosine = of_queries[start : start + _BLOCK] @ of_titles.T
        for offset, row in enumerate(cosine):
            query = distinct[start + offset]
            times = min(drawn[query] * _PAIRS_PER_QUERY, len(titles))
            most = min(max(neighbours, times), len(titles))
            best: npt.NDArray[np.intp] = np.argpartition(-row, most - 1)[:most]
            chosen = rng.permutation(best)[:times].tolist()
            queries += [query] * len(chosen)
            paired += [titles[i] for i in chosen]
    return queries, paired


def _perturbations(recipe: Augment, lexicon: Lexicon, rng: np.random.Generator) -> list[tuple[str, int, _Perturbation]]:
    """Return origin, count and perturbation of each kind."""

    def either(change: Callable[[str, np.random.Generator], str | None]) -> _Perturbation:
        def perturb(query: str, title: str) -> tuple[str | None, str | None]:
            return (change(query, rng), title) if rng.random() < 0.5 else (query, change(title, rng))

        return perturb

    def swapped(query: str, title: str) -> tuple[str | None, str | None]:
        if rng.random() < 0.5:
            return exchange(query, title, lexicon, rng), title
        return query, exchange(title, query, lexicon, rng)

    return [
        ("typo", recipe.typos, lambda query, title: (misspell(query, rng), title)),
        ("dropped", recipe.dropped, either(drop_word)),
        ("reordered", recipe.reordered, either(reorder)),
        ("swapped", recipe.swapped, swapped),
    ]


def _perturbed(
    rows: Sequence[_Row], count: int, perturb: _Perturbation, rng: np.random.Generator
) -> tuple[list[str], list[str], list[str]]:
    """Return perturbed queries and titles, and the source queries."""
    queries: list[str] = []
    titles: list[str] = []
    source_queries: list[str] = []
    # Some pairs have nothing to change: twice as many are tried as are needed.
    for row in rng.integers(0, max(1, len(rows)), size=2 * count if rows else 0).tolist():
        if len(queries) == count:
            break
        query, title = perturb(rows[row].query, rows[row].title)
        if query is not None and title is not None:
            queries.append(query)
            titles.append(title)
            source_queries.append(rows[row].source_query)
    return queries, titles, source_queries
