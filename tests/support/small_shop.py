"""A small shop: products of six kinds, judged queries, and an encoder of its own; written as WANDS, ESCI or tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertModel

KINDS = {
    "laptop": ("notebook", "ultrabook"),
    "keyboard": ("mechanical", "keypad"),
    "fridge": ("freezer", "refrigerator"),
    "shoes": ("sneakers", "trainers"),
    "camera": ("digital", "dslr"),
    "printer": ("toner", "inkjet"),
}
BRANDS = ("kestrel", "brimley", "okapi", "tarn", "velour", "quill")
ADJECTIVES = ("cheap", "best", "small")


@dataclass(frozen=True)
class Shop:
    """Products, and judgements of (query, product number, label): Exact, Partial (another brand) or Irrelevant."""

    products: list[str]
    judgements: list[tuple[str, int, str]]

    @property
    def queries(self) -> list[str]:
        return list(dict.fromkeys(query for query, _, _ in self.judgements))


def small_shop(*, judged_per_query: int = 12, seed: int = 5) -> Shop:
    rng = np.random.default_rng(seed)
    kinds = list(KINDS)
    products = sorted({title_of(kinds[rng.integers(6)], rng) for _ in range(300)})
    judgements = []
    for kind in kinds:
        for brand in BRANDS[:4]:
            akin = [i for i, title in enumerate(products) if kind_of(title) == kind]
            chosen = [*rng.choice(akin, judged_per_query // 2), *rng.integers(0, len(products), judged_per_query // 2)]
            for i in dict.fromkeys(int(i) for i in chosen):
                label = "Irrelevant" if kind_of(products[i]) != kind else "Exact" if brand in products[i] else "Partial"
                judgements.append((f"{kind} {brand}", i, label))
    return Shop(products, judgements)


def title_of(kind: str, rng: np.random.Generator) -> str:
    words = [BRANDS[rng.integers(len(BRANDS))], kind, str(rng.choice(KINDS[kind])), str(rng.integers(10, 99))]
    return " ".join(words)


def kind_of(title: str) -> str:
    return title.split()[1]


def write_wands(shop: Shop, folder: Path) -> None:
    """Write the three files of WANDS, all their columns, tab-separated."""
    folder.mkdir(parents=True, exist_ok=True)
    number = {query: i for i, query in enumerate(shop.queries)}
    _tsv(
        folder / "query.csv",
        ["query_id", "query", "query_class"],
        [(i, query, query.split()[0]) for query, i in number.items()],
    )
    header = ["product_id", "product_name", "product_class", "category hierarchy", "product_description"]
    header += ["product_features", "rating_count", "average_rating", "review_count"]
    rows = [
        (i, title, kind_of(title), "a / b", 'has a "quote', "x:1|y:2", "", "", "")
        for i, title in enumerate(shop.products)
    ]
    _tsv(folder / "product.csv", header, rows)
    judged = [(i, number[query], product, label) for i, (query, product, label) in enumerate(shop.judgements)]
    _tsv(folder / "label.csv", ["id", "query_id", "product_id", "label"], judged)


def write_esci(shop: Shop, folder: Path) -> None:
    """Write the two Parquet files of the Shopping Queries data set; every sixth query is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    number = {query: i for i, query in enumerate(shop.queries)}
    letter = {"Exact": "E", "Partial": "S", "Irrelevant": "I"}
    rows = shop.judgements
    example = {
        "example_id": pa.array(range(len(rows)), pa.int64()),
        "query": [query for query, _, _ in rows],
        "query_id": pa.array([number[query] for query, _, _ in rows], pa.int64()),
        "product_id": [f"B{product:04}" for _, product, _ in rows],
        "product_locale": ["us"] * len(rows),
        "esci_label": [letter[label] for _, _, label in rows],
        "small_version": pa.array([1] * len(rows), pa.int64()),
        "large_version": pa.array([1] * len(rows), pa.int64()),
        "split": ["test" if number[query] % 6 == 0 else "train" for query, _, _ in rows],
    }
    pq.write_table(pa.table(example), folder / "shopping_queries_dataset_examples.parquet")
    count = len(shop.products)
    product = {
        "product_id": [f"B{i:04}" for i in range(count)],
        "product_title": shop.products,
        "product_description": pa.array([None] * count, pa.string()),
        "product_bullet_point": pa.array([None] * count, pa.string()),
        "product_brand": [title.split()[0] for title in shop.products],
        "product_color": pa.array([None] * count, pa.string()),
        "product_locale": ["us"] * count,
    }
    pq.write_table(pa.table(product), folder / "shopping_queries_dataset_products.parquet")


def write_encoder(shop: Shop, folder: Path) -> Path:
    """Write an untrained BERT of two narrow layers, in transformers' layout, with a vocabulary of the shop's words."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(WordPiece({}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*shop.products, *shop.queries, *ADJECTIVES], trainer)
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=96,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _tsv(path: Path, header: list[str], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
