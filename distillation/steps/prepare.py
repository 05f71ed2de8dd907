"""Step `prepare`: read all sources into a few Parquet files, which the other steps read.

`judged.parquet` has `query`, `title`, `target`, `gain`, `relevant` and `fold`: the fold that measures the row, or -1
for a row that is only trained on. `titles.parquet`, `queries.parquet`, `pairs.parquet` and `weak.parquet` have the
unjudged data, the last one also the contrast pairs; `lineage.json` lists the files that were read, with rows and
checksums.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from distillation.data.contrast_pairs import made_pairs
from distillation.data.leakage import overlapping_query_groups
from distillation.data.title_swaps import swapped_pairs
from distillation.data.variant_pairs import variant_pairs
from distillation.pipeline.workspace import Context, read_columns, write_columns, write_json
from distillation.recipe.data_sources import TextSource, WeakSource
from distillation.recipe.recipe import Recipe
from evaluation.calibration import check_cross_fits
from evaluation.errors import DataError
from evaluation.judgements import (
    RELEVANT_FROM,
    TEST,
    Judged,
    check_split,
    join,
    read_judgements,
    without_test_queries,
)
from evaluation.query_text import query_groups
from evaluation.tables import parquet_files, read_lines, read_table
from relevance_model.bundle import file_sha256

FOLDER: Final = "prepare"


def sources(context: Context) -> dict[str, str]:
    """Return the checksum of every file that the recipe names.

    Raises
    ------
    DataError
        If one is missing or cannot be read.
    """
    try:
        return {_location(path, context): file_sha256(path) for path in _files(context)}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None


def _files(context: Context) -> list[Path]:
    data = context.recipe.data
    paths: list[Path] = []
    for source in data.judged:
        if source.format == "table":
            paths.append(context.data / source.path)
        elif source.format == "wands":
            paths += [context.data / source.path / name for name in ("product.csv", "query.csv", "label.csv")]
        else:
            paths += [context.data / source.examples, context.data / source.products]
    others = [source.path for source in (*data.titles, *data.queries)]
    others += [source.path for source in data.pairs] + [source.path for source in data.weak]
    for other in others:
        paths += parquet_files(context.data / other)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: no such file")
    return list(dict.fromkeys(paths))


def run(context: Context) -> None:
    """Read, check, sample and write."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    rng = np.random.default_rng(recipe.seed)
    rows: dict[Path, int] = {}
    contents = [read_judgements(source, context.data) for source in recipe.data.judged]
    for content in contents:
        rows |= content.files
    joined = join([content.judged for content in contents])
    kept = without_test_queries(joined)
    judged = _sampled(kept, recipe.data.judged_rows, rng)
    check_split(judged)
    fold = _folds(judged, recipe)
    _check_folds(judged, fold, recipe.seed)

    listed = [title for content in contents for title in content.titles]
    titles = [*_texts(context, recipe.data.titles, rows), *(title for title in listed if title.strip())]
    queries = _texts(context, recipe.data.queries, rows)
    pairs = _pairs(context, rows)
    weak = _weak(context, rows, rng)
    contrast = _contrast(list(dict.fromkeys(titles)), recipe)

    relevant = judged.target >= RELEVANT_FROM
    write_columns(
        folder / "judged.parquet",
        {
            "query": judged.queries,
            "title": judged.titles,
            "target": judged.target,
            "gain": judged.gain,
            "relevant": relevant.astype(np.int8),
            "fold": fold,
        },
    )
    _write_sample(folder / "titles.parquet", {"title": list(dict.fromkeys(titles))}, recipe.data.title_rows, rng)
    _write_sample(folder / "queries.parquet", {"query": list(dict.fromkeys(queries))}, len(queries), rng)
    _write_sample(folder / "pairs.parquet", pairs, recipe.data.pair_rows, rng)
    _write_sample(folder / "weak.parquet", weak, recipe.data.weak_rows, rng)
    if contrast["query"]:
        sample = read_columns(folder / "weak.parquet")
        both = {name: [*sample[name], *contrast[name]] for name in ("query", "title")}
        target = np.concatenate([sample["target"], contrast["target"]])
        _write_sample(folder / "weak.parquet", {**both, "target": target}, len(target), rng)
    write_json(folder / "lineage.json", _lineage(context, rows))
    unreadable = sum(content.unreadable for content in contents)
    if unreadable:
        context.progress.say(f"prepare: {unreadable:,} judged rows left out: a text is empty, unreadable or too long")
    if len(kept) < len(joined):
        left_out = len(joined) - len(kept)
        context.progress.say(f"prepare: {left_out:,} rows of train left out: test has their query in other writing")
    context.progress.say(
        f"prepare: {len(judged):,} judged pairs of {len(np.unique(query_groups(judged.queries))):,} queries, "
        f"{relevant.mean():.0%} relevant; {len(set(titles)):,} titles, {len(pairs['query']):,} pairs, "
        f"{len(weak['query']):,} weakly labelled, {len(contrast['query']):,} contrast pairs"
    )


def _location(path: Path, context: Context) -> str:
    """Return a file's path, relative to the data folder if it is in there."""
    return str(path.relative_to(context.data) if path.is_relative_to(context.data) else path.absolute())


def _lineage(context: Context, rows: dict[Path, int]) -> dict[str, dict[str, Any]]:
    """Return checksum and rows of every file, by names without the machine's folders."""
    digests, lineage = sources(context), {}
    for path in _files(context):
        name = own = _location(path, context) if path.is_relative_to(context.data) else path.name
        number = 2
        while name in lineage:
            name, number = f"{own} ({number})", number + 1
        lineage[name] = {"sha256": digests[_location(path, context)], "rows": rows.get(path)}
    return lineage


def _sampled(judged: Judged, limit: int, rng: np.random.Generator) -> Judged:
    """Draw whole queries up to `limit` rows, in proportion from both sides of a split."""
    if len(judged) <= limit:
        return judged
    of_row = query_groups(judged.queries)
    sides = np.array(judged.split)
    kept = np.zeros(len(judged), dtype=bool)
    for side in np.unique(sides):
        counts = np.bincount(of_row[sides == side], minlength=of_row.max() + 1)
        order = rng.permutation(np.flatnonzero(counts))
        side_limit = limit * (sides == side).sum() / len(judged)
        drawn = order[: max(1, int(np.searchsorted(np.cumsum(counts[order]), side_limit, side="right")))]
        kept |= np.isin(of_row, drawn)
    return judged.take(np.flatnonzero(kept).tolist())


def _folds(judged: Judged, recipe: Recipe) -> npt.NDArray[np.int64]:
    if judged.split[0]:
        return np.array([0 if side == TEST else -1 for side in judged.split], dtype=np.int64)
    strict = recipe.evaluation.groups == "overlapping"
    groups = overlapping_query_groups(judged.queries) if strict else query_groups(judged.queries)
    distinct = len(np.unique(groups))
    if distinct < recipe.evaluation.folds:
        raise DataError(f"{distinct} groups of queries are too few for {recipe.evaluation.folds} folds")
    fold = np.empty(len(judged), dtype=np.int64)
    splitter = GroupKFold(recipe.evaluation.folds, shuffle=True, random_state=recipe.seed)
    for number, (_, test) in enumerate(splitter.split(groups, groups=groups)):
        fold[test] = number
    return fold


def _check_folds(judged: Judged, fold: npt.NDArray[np.int64], seed: int) -> None:
    """Check that both sides of every fold have relevant and irrelevant rows, and that calibration is possible."""
    relevant = judged.target >= RELEVANT_FROM
    for number in range(int(fold.max()) + 1):
        for part, side in ((fold == number, "held out"), (fold != number, "trained on")):
            if not 0 < relevant[part].sum() < part.sum():
                kind = "relevant" if not relevant[part].any() else "irrelevant"
                raise DataError(
                    f"of the {part.sum()} judged rows {side} in fold {number + 1} none is {kind}: "
                    "judge more queries, or set fewer folds"
                )
    measured = np.flatnonzero(fold >= 0)
    groups = query_groups(judged.queries)[measured]
    check_cross_fits(relevant[measured].astype(np.int64), groups, seed=seed)


def _texts(context: Context, listed: Sequence[TextSource], rows: dict[Path, int]) -> list[str]:
    texts: list[str] = []
    for source in listed:
        path = context.data / source.path
        if source.column is None:
            found = read_lines(path)
        else:
            found = [
                text
                for text in read_table(path, [source.column], separator=source.separator)[source.column]
                if text.strip()
            ]
        rows[path] = len(found)
        texts += found
    return texts


def _pairs(context: Context, rows: dict[Path, int]) -> dict[str, list[str]]:
    pairs: dict[tuple[str, str], None] = {}
    for source in context.recipe.data.pairs:
        for file in parquet_files(context.data / source.path):
            columns = read_table(file, [source.query, source.title], separator=source.separator)
            rows[file] = len(columns[source.query])
            both = zip(columns[source.query], columns[source.title], strict=True)
            pairs.update(dict.fromkeys((query, title) for query, title in both if query.strip() and title.strip()))
    return {"query": [query for query, _ in pairs], "title": [title for _, title in pairs]}


def _weak(context: Context, rows: dict[Path, int], rng: np.random.Generator) -> dict[str, Any]:
    queries: list[str] = []
    titles: list[str] = []
    target: list[float] = []
    for source in context.recipe.data.weak:
        path = context.data / source.path
        names = [source.query, source.title, *([source.label] if source.label else [])]
        columns = read_table(path, names, separator=source.separator)
        rows[path] = len(columns[source.query])
        targets = _weak_targets(source, columns, path)
        both = zip(columns[source.query], columns[source.title], strict=True)
        drawn = rng.integers(0, len(columns[source.query]), size=(len(targets), source.random_negatives)).tolist()
        for (query, title), probability, others in zip(both, targets, drawn, strict=True):
            if probability is None or not query.strip() or not title.strip():
                continue
            negatives = [columns[source.query][other] for other in others]
            of_title = [query, *(negative for negative in negatives if negative.strip() and negative != query)]
            queries += of_title
            titles += [title] * len(of_title)
            target += [probability] + [0.0] * (len(of_title) - 1)
    return {"query": queries, "title": titles, "target": np.array(target, dtype=np.float32)}


def _contrast(titles: Sequence[str], recipe: Recipe) -> dict[str, Any]:
    """Return the contrast pairs; they do not disturb the other random draws."""
    rng = np.random.default_rng([recipe.seed, 4])
    wanted = recipe.data.contrast
    pairs = [*made_pairs(wanted.made, rng), *variant_pairs(wanted.variants, rng)]
    pairs += swapped_pairs(titles, wanted.swapped, rng) if wanted.swapped else []
    return {
        "query": [pair.query for pair in pairs],
        "title": [pair.title for pair in pairs],
        "target": np.array([pair.target for pair in pairs], dtype=np.float32),
    }


def _weak_targets(source: WeakSource, columns: dict[str, list[str]], path: Path) -> list[float | None]:
    """Return each row's probability of relevance, None for an ignored label."""
    if source.label is None:
        return [1.0] * len(columns[source.query])
    labels = columns[source.label]
    unknown = sorted(set(labels) - set(source.labels) - set(source.ignore))
    if unknown:
        known = ", ".join([*source.labels, *source.ignore]) or "none"
        raise DataError(f"{path}: unknown label {unknown[0]!r}; the recipe's labels are {known}")
    return [source.labels.get(label) for label in labels]


def _write_sample(path: Path, columns: dict[str, Any], limit: int, rng: np.random.Generator) -> None:
    """Write at most `limit` rows in random order."""
    lists = {
        name: np.asarray(values, dtype=object if isinstance(values, list) else None) for name, values in columns.items()
    }
    count = len(next(iter(lists.values())))
    picked = rng.permutation(count)[:limit]
    sample = {name: values[picked] for name, values in lists.items()}
    write_columns(path, {name: list(v) if v.dtype == object else v for name, v in sample.items()})
