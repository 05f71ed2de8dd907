"""How fast the bundle scores in one process: single pairs, and pairs in bulk.

python -m benchmarks.scorer_speed DATA [--pairs 100000] [--runs 5] [--bundle FOLDER] [--json FILE]

Single pair: both texts are new to the cache, so the figure holds tokenisation, the text graphs and the pair graph.
Bulk: all distinct pairs of some of the titles, a title's together as the job sends them, 2,048 a call, starting
with an empty cache.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from time import perf_counter
from zlib import crc32

import numpy as np
import pyarrow.parquet as pq

from benchmarks.results_file import Figure, add_json_flag, write_result
from relevance_model import Bundle, Pairs, Scorer, default_bundle_path

CALL_ROWS = 2048
WARM_UP_CALLS = 200


def read_pairs(data: Path, count: int) -> list[tuple[str, str]]:
    """Return `count` distinct pairs of the data, in a fixed random order."""
    table = pq.read_table(data, columns=["query", "title"]).group_by(["query", "title"]).aggregate([])
    order = np.random.default_rng(0).permutation(table.num_rows)[:count]
    taken = table.take(order)
    return list(zip(taken["query"].to_pylist(), taken["title"].to_pylist(), strict=True))


def read_titles_pairs(data: Path, count: int) -> list[tuple[str, str]]:
    """Return about `count` distinct pairs of the data: all those of titles picked by their hash, title by title."""
    table = pq.read_table(data, columns=["query", "title"]).group_by(["query", "title"]).aggregate([])
    pairs = list(zip(table["query"].to_pylist(), table["title"].to_pylist(), strict=True))
    most = (1 << 32) * min(1.0, count / len(pairs))
    return sorted(
        (pair for pair in pairs if crc32(pair[1].encode()) < most), key=lambda pair: (crc32(pair[1].encode()), pair)
    )


def as_columns(pairs: list[tuple[str, str]]) -> Pairs:
    """Return the pairs, dictionary-encoded."""
    queries = {query: i for i, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
    titles = {title: i for i, title in enumerate(dict.fromkeys(title for _, title in pairs))}
    return Pairs.from_columns(
        list(queries), list(titles), [queries[query] for query, _ in pairs], [titles[title] for _, title in pairs]
    )


def first_occurrences(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs whose query and title both occur for the first time."""
    seen: set[str] = set()
    fresh = []
    for query, title in pairs:
        if query not in seen and title not in seen:
            fresh.append((query, title))
        seen |= {query, title}
    return fresh


def single(bundle: Bundle, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Return the time of each single pair in microseconds; no text is in the cache."""
    scorer = Scorer(bundle, threads=1)
    times = []
    for query, title in first_occurrences(pairs):
        one = Pairs.from_columns([query], [title])
        started = perf_counter()
        scorer.score(one)
        times.append(perf_counter() - started)
    return np.array(times[WARM_UP_CALLS:]) * 1e6


def bulk(bundle: Bundle, calls: list[Pairs], rows: int) -> dict[str, float]:
    """Return the microseconds per pair: in all, in tokenisation, in the graphs."""
    scorer = Scorer(bundle, threads=1)
    encode = infer = 0.0
    started = perf_counter()
    for call in calls:
        result = scorer.score(call)
        encode += result.tokenize_seconds
        infer += result.infer_seconds
    wall = perf_counter() - started
    return {"all": wall / rows * 1e6, "tokenise": encode / rows * 1e6, "graphs": infer / rows * 1e6}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Parquet files with columns query and title")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path())
    add_json_flag(parser)
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    print(f"bundle {bundle.manifest.name} {bundle.manifest.version}, one thread")
    pairs = read_pairs(arguments.data, arguments.pairs)
    alone = single(bundle, pairs)
    print(
        f"single pair, µs: p50 {np.percentile(alone, 50):.0f}, p99 {np.percentile(alone, 99):.0f}"
        f" ({len(alone):,} pairs)"
    )
    pairs = read_titles_pairs(arguments.data, arguments.pairs)
    print(f"bulk: {len(pairs):,} pairs, {len({t for _, t in pairs}):,} titles, {len({q for q, _ in pairs}):,} queries")
    calls = [as_columns(pairs[start : start + CALL_ROWS]) for start in range(0, len(pairs), CALL_ROWS)]
    runs = [bulk(bundle, calls, len(pairs)) for _ in range(arguments.runs)]
    figures = [
        Figure(name="one pair alone, nothing cached, median", unit="µs", values=[float(np.percentile(alone, 50))]),
        Figure(
            name="one pair alone, nothing cached, 99th percentile", unit="µs", values=[float(np.percentile(alone, 99))]
        ),
    ]
    for stage in runs[0]:
        values = [run[stage] for run in runs]
        figures.append(Figure(name=f"in bulk, {stage}", unit="µs a pair", values=values))
        print(f"bulk, µs a pair, {stage}: median {statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})")
    write_result(arguments.json, "The model in one thread", figures)


if __name__ == "__main__":
    main()
