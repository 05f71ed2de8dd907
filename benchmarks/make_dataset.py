"""Generate (pair_id, query, title) rows from the bundled sample, where there are no real ones.

python -m benchmarks.make_dataset --rows 1000000 --output out/data

Texts are those of the sample with exchanged words and numbers. Frequencies resemble search logs: queries follow a Zipf
law, each has titles of its own kind and random titles, and some pairs occur more than once.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sample" / "pairs.jsonl"
ROWS_PER_DISTINCT_QUERY = 27
ROWS_PER_DISTINCT_TITLE = 7
SHARE_OF_OWN_KIND = 0.7
ROWS_PER_FILE = 250_000
MAX_CHARACTERS = 300


def read_sample() -> dict[str, list[str]]:
    """Return the sample's readable titles by query."""
    titles: dict[str, list[str]] = {}
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [row["query"], row["title"]]
        if all(text and text.strip() and text.isprintable() and len(text) < MAX_CHARACTERS for text in texts):
            titles.setdefault(row["query"], []).append(row["title"])
    return titles


def vary(text: str, words: list[str], rng: random.Random) -> str:
    """Return `text` with other numbers and, in 60 % of the cases, another word."""
    parts = [re.sub(r"\d+", lambda _: str(rng.randint(1, 999)), part) for part in text.split()]
    if rng.random() < 0.6:
        parts[rng.randrange(len(parts))] = rng.choice(words)
    return " ".join(parts)


def make_texts(rows: int, rng: random.Random) -> tuple[list[str], list[str], list[int], list[int]]:
    """Return queries, titles, and the kind (position in the sample) of each."""
    sample = read_sample()
    kinds = list(sample.items())
    words = sorted({word for titles in sample.values() for title in titles for word in title.split()})
    queries: dict[str, int] = {query: kind for kind, (query, _) in enumerate(kinds)}
    titles: dict[str, int] = {}
    while len(queries) < max(len(kinds), rows // ROWS_PER_DISTINCT_QUERY):
        kind = rng.randrange(len(kinds))
        queries.setdefault(f"{vary(kinds[kind][0], words, rng)} {rng.choice(words)}".strip(), kind)
    while len(titles) < max(len(kinds), rows // ROWS_PER_DISTINCT_TITLE):
        kind = rng.randrange(len(kinds))
        titles.setdefault(vary(rng.choice(kinds[kind][1]), words, rng), kind)
    return list(queries), list(titles), list(queries.values()), list(titles.values())


def make_rows(rows: int, seed: int) -> pa.Table:
    """Return the table of rows."""
    queries, titles, query_kinds, title_kinds = make_texts(rows, random.Random(seed))
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, len(queries) + 1) ** 0.8
    query_rows = rng.choice(len(queries), size=rows, p=weights / weights.sum())
    by_kind = np.argsort(title_kinds, kind="stable")
    first = np.searchsorted(np.asarray(title_kinds)[by_kind], np.arange(max(query_kinds) + 2))
    kinds = np.asarray(query_kinds)[query_rows]
    span = np.maximum(first[kinds + 1] - first[kinds], 1)
    own = by_kind[np.minimum(first[kinds] + (rng.random(rows) * span).astype(np.int64), len(titles) - 1)]
    title_rows = np.where(rng.random(rows) < SHARE_OF_OWN_KIND, own, rng.integers(0, len(titles), rows))
    return pa.table(
        {
            "pair_id": [f"p{i:09d}" for i in range(rows)],
            "query": pa.array(queries).take(pa.array(query_rows)),
            "title": pa.array(titles).take(pa.array(title_rows)),
        }
    )


def main() -> None:
    """Write the rows as Parquet files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    table = make_rows(arguments.rows, arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for part, start in enumerate(range(0, table.num_rows, ROWS_PER_FILE)):
        pq.write_table(table.slice(start, ROWS_PER_FILE), arguments.output / f"part-{part:02d}.parquet")
    distinct = table.group_by(["query", "title"]).aggregate([]).num_rows
    print(f"{table.num_rows:,} rows, {distinct:,} distinct pairs, in {arguments.output}")


if __name__ == "__main__":
    main()
