"""A data folder of the same layout as the real one, small enough to train on in seconds."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

KINDS = {
    "laptop": ("notebook computer", "ultrabook"),
    "keyboard": ("mechanical keys", "keypad"),
    "fridge": ("cooler freezer", "refrigerator"),
    "shoes": ("running sneakers", "trainers"),
    "camera": ("digital photo", "dslr"),
    "printer": ("laser toner", "inkjet"),
}
BRANDS = ("kestrel", "brimley", "okapi", "tarn", "velour", "quill")


def title_of(kind: str, rng: np.random.Generator) -> str:
    words = [BRANDS[rng.integers(len(BRANDS))], kind, str(rng.choice(KINDS[kind])), str(rng.integers(10, 99))]
    return " ".join(words)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six kinds of product; a judged query is a kind with a brand, and its relevant titles are of that kind."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(5)
    kinds = list(KINDS)
    titles = sorted({title_of(kinds[rng.integers(6)], rng) for _ in range(400)})

    def write(name: str, header: str | None, rows: list[tuple[object, ...]]) -> None:
        lines = ([header] if header else []) + ["\t".join(map(str, row)) for row in rows]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))

    def kind_of(title: str) -> str:
        return title.split()[1]

    judged = [
        (f"{kind} {brand}", title, 3 if kind_of(title) == kind else 0)
        for kind in kinds
        for brand in BRANDS[:4]
        for title in rng.choice(titles, size=12)
    ]
    write("judged/icecat.tsv.gz", "query\ttitle\tgrade", judged)
    write("unlabelled/titles.txt.gz", None, [(title,) for title in titles])
    write("unlabelled/queries.tsv.gz", "query\tsource\tclass", [(f"cheap {kind}", "hand", "") for kind in kinds])
    write("weak/pricerunner_offers.tsv.gz", "title\tcategory", [(t, kind_of(t)) for t in titles[:100]])
    write("weak/title_category.tsv.gz", "title\tcategory", [(t, kind_of(t)) for t in titles[100:200]])
    labels = ("match", "near", "far")
    offers = [(titles[i], titles[(i * 7 + 3) % len(titles)], labels[i % 3]) for i in range(90)]
    write("weak/pricerunner_pairs.tsv.gz", "query\ttitle\tlabel", offers)
    # Half of the night asks for what the title is; a judged query is among the night's, and has to be left out.
    night_titles = [titles[i] for i in rng.integers(0, len(titles), size=600)]
    night_queries = [kind_of(title) if rng.random() < 0.5 else kinds[rng.integers(6)] for title in night_titles]
    night_queries[0] = " Laptop Kestrel "
    night = root / "nightly" / "ds=2026-11-01"
    night.mkdir(parents=True)
    parquet.write_table(pa.table({"query": night_queries, "title": night_titles}), night / "part-00.parquet")
    return root


@pytest.fixture(scope="session")
def fresh_pairs() -> tuple[list[str], list[str], np.ndarray]:
    """Queries that were judged nowhere (a kind with a brand that the judged queries left out), titles, labels."""
    rng = np.random.default_rng(99)
    kinds = list(KINDS)
    queries, titles, labels = [], [], []
    for kind in kinds:
        for brand in BRANDS[4:]:
            for turn in range(10):
                other = kind if turn % 2 else kinds[rng.integers(6)]
                queries.append(f"{kind} {brand}")
                titles.append(title_of(other, rng))
                labels.append(int(other == kind))
    return queries, titles, np.array(labels)
