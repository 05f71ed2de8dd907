"""Judgements in the formats of WANDS, ESCI and tables, and the rules of a split."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillation.data.folds import FINAL, folds_of, read_judged
from distillation.pipeline.workspace import Context, read_columns, read_json
from distillation.recipe.recipe import Recipe
from distillation.steps.prepare import run, sources
from evaluation.errors import DataError
from evaluation.judgements import Judged, check_split, is_readable, without_test_queries
from tests.support.prepared_data import ROWS, TABLE, judged_table, prepared
from tests.support.small_shop import Shop, small_shop, write_esci, write_wands


@pytest.fixture
def shop() -> Shop:
    return small_shop()


def test_wands(shop: Shop, tmp_path: Path) -> None:
    write_wands(shop, tmp_path / "wands")
    context = prepared(tmp_path, {"judged": [{"format": "wands", "path": "wands"}]})
    judged = read_judged(context)
    worth = {"Exact": (0.95, 1.0), "Partial": (0.4, 0.5), "Irrelevant": (0.03, 0.0)}
    expected = [(query, shop.products[i], *worth[label]) for query, i, label in shop.judgements]
    target, gain = judged.target.round(2).tolist(), judged.gain.tolist()
    seen = zip(judged.queries, judged.titles, target, gain, strict=True)
    assert [(q, t, round(x, 2), g) for q, t, x, g in seen] == expected
    assert set(read_columns(context.folder("prepare") / "titles.parquet")["title"]) == set(shop.products)
    lineage = read_json(context.folder("prepare") / "lineage.json")
    assert lineage["wands/label.csv"]["rows"] == len(shop.judgements)
    assert {len(entry["sha256"]) for entry in lineage.values()} == {64}


def test_esci_comes_with_a_split(shop: Shop, tmp_path: Path) -> None:
    write_esci(shop, tmp_path)
    context = prepared(tmp_path, {"judged": [{"format": "esci"}]})
    judged = read_judged(context)
    (only,) = folds_of(judged)
    assert only.name == FINAL
    number = {query: i for i, query in enumerate(shop.queries)}
    held_out = np.array([number[query] % 6 == 0 for query in judged.queries])
    np.testing.assert_array_equal(only.test, held_out)
    np.testing.assert_array_equal(only.train, ~held_out)
    assert len(judged.queries) == len(shop.judgements)


def test_esci_keeps_one_locale_and_the_small_version(shop: Shop, tmp_path: Path) -> None:
    write_esci(shop, tmp_path)
    path = tmp_path / "shopping_queries_dataset_examples.parquet"
    table = pq.read_table(path)
    locale = ["es" if row % 3 == 0 else "us" for row in range(table.num_rows)]
    small = pa.array([int(row % 5 != 0) for row in range(table.num_rows)], pa.int64())
    table = table.drop_columns(["product_locale", "small_version"])
    pq.write_table(table.append_column("product_locale", [locale]).append_column("small_version", small), path)
    judged = read_judged(prepared(tmp_path, {"judged": [{"format": "esci"}]}))
    kept = [row for row in range(table.num_rows) if row % 3 and row % 5]
    assert judged.queries == [shop.judgements[row][0] for row in kept]


@pytest.mark.parametrize("kind", ["tsv", "csv", "tsv.gz", "parquet"])
def test_a_table_by_its_columns(kind: str, tmp_path: Path) -> None:
    rows = [(f'q, "{n}"', f"title {n}", n % 2) for n in range(8)]
    path = tmp_path / f"mine.{kind}"
    if kind == "parquet":
        columns = {"q": [r[0] for r in rows], "t": [r[1] for r in rows], "g": pa.array([r[2] for r in rows])}
        pq.write_table(pa.table(columns), path)
    elif kind == "csv":
        quoted = ['"' + q.replace('"', '""') + f'",{t},{g}' for q, t, g in rows]
        path.write_text("\n".join(["q,t,g", *quoted]))
    else:
        text = judged_table(rows, "q\tt\tg").encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    source = {
        "format": "table",
        "path": path.name,
        "query": "q",
        "title": "t",
        "label": "g",
        "labels": {"0": 0, "1": 1},
    }
    # One query has one label here: folds of two queries at least hold both.
    judged = read_judged(prepared(tmp_path, {"judged": [source]}))
    assert list(zip(judged.queries, judged.titles, judged.relevant, strict=True)) == rows


def break_wands(root: Path, name: str, change: Callable[[str], str]) -> None:
    path = root / "wands" / name
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("data", "text", "complaint"),
    [
        ({}, judged_table(ROWS, "q\ttitle\tlabel"), r"column query is missing; the columns are q, title, label"),
        ({}, judged_table([*ROWS, ("a", "b", "so-so")]), r"unknown label 'so-so'; the recipe's labels are bad, good"),
        ({}, "query\ttitle\tlabel\n", r"has no rows"),
        ({}, judged_table(ROWS) + "a\tb\n", r"cannot be read"),
        ({}, judged_table([(q, t, "good") for q, t, _ in ROWS]), r"none is irrelevant"),
        ({"split": "s"}, judged_table([(*r, "train") for r in ROWS], "query\ttitle\tlabel\ts"), r"no test rows"),
        ({"split": "s"}, judged_table([(*r, "dev") for r in ROWS], "query\ttitle\tlabel\ts"), r"holds 'dev'; expected"),
        (
            {"split": "s"},
            judged_table([(*r, ("train", "test")[i % 2]) for i, r in enumerate(ROWS)], "query\ttitle\tlabel\ts"),
            r"query 'query 0' is in both train and test",
        ),
        ({"ignore": ["good"], "labels": {"bad": 0.0}}, judged_table(ROWS), r"none is relevant"),
        ({"path": "nowhere.tsv"}, judged_table(ROWS), r"nowhere\.tsv: no such file"),
        ({"path": "j.xls"}, judged_table(ROWS), r"expected a \.csv"),
        (
            {"split": "s"},
            judged_table([(*r, "test" if r[0] == "query 0" else "train") for r in ROWS], "query\ttitle\tlabel\ts"),
            r"only one query is measured",
        ),
        (
            {"split": "s"},
            judged_table(
                [
                    *((*r, "train") for r in ROWS),
                    *(("good one", f"t{n}", "good", "test") for n in range(3)),
                    *((f"bad one {n}", "t", "bad", "test") for n in range(2)),
                ],
                "query\ttitle\tlabel\ts",
            ),
            r"too few of the measured queries have both relevant and irrelevant rows",
        ),
        (
            {"split": "s"},
            judged_table([("QUERY 0", "t", "good", "test"), *((*r, "train") for r in ROWS)], "query\ttitle\tlabel\ts"),
            r"query 'query 0' is in both train and test",
        ),
    ],
)
def test_a_bad_table_names_the_culprit(data: dict[str, object], text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "j.tsv").write_text(text)
    (tmp_path / "j.xls").write_text(text)
    recipe = Recipe.model_validate({"data": {"judged": [{**TABLE, **data}]}, "evaluation": {"folds": 2}})
    context = Context(recipe, tmp_path / "work", tmp_path)
    with pytest.raises(DataError, match=complaint):
        sources(context)
        run(context)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("label.csv", lambda text: text.replace("label\n", "grade\n", 1), r"label\.csv: column label is missing"),
        ("label.csv", lambda text: text.replace("Exact", "Perfect", 1), r"unknown label 'Perfect'"),
        ("product.csv", lambda text: "\n".join(text.splitlines()[:40]), r"product_id '\d+' is not in product\.csv"),
        ("query.csv", lambda text: text.splitlines()[0] + "\n", r"query\.csv: has no rows"),
        ("query.csv", lambda text: text + "0\tanother\t\n", r"query\.csv: query_id '0' occurs twice"),
    ],
)
def test_broken_wands_names_the_culprit(
    name: str, change: Callable[[str], str], complaint: str, shop: Shop, tmp_path: Path
) -> None:
    write_wands(shop, tmp_path / "wands")
    break_wands(tmp_path, name, change)
    with pytest.raises(DataError, match=complaint):
        prepared(tmp_path, {"judged": [{"format": "wands", "path": "wands"}]})


def test_a_locale_that_esci_lacks_is_named(shop: Shop, tmp_path: Path) -> None:
    write_esci(shop, tmp_path)
    with pytest.raises(DataError, match="no row has product_locale 'jp' in the small version"):
        prepared(tmp_path, {"judged": [{"format": "esci", "locale": "jp"}]})


def judged(rows: list[tuple[str, str]]) -> Judged:
    """Return rows of (query, side of the split)."""
    ones = np.ones(len(rows), dtype=np.float32)
    queries, sides = ([row[column] for row in rows] for column in (0, 1))
    return Judged(queries, ["title"] * len(rows), ones, ones, sides, ["1"] * len(rows), np.arange(len(rows)))


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("a", ""), ("b", "")], None),
        ([("a", "train"), ("b", "test")], None),
        ([("a", "train"), ("b", "")], "split all or none"),
        ([("a", "train"), ("b", "train")], "no test rows"),
        ([("a", "train"), (" A", "test")], "query ' A' is in both train and test"),
    ],
)
def test_a_split_has_two_sides_and_whole_queries(rows: list[tuple[str, str]], complaint: str | None) -> None:
    if complaint is None:
        check_split(judged(rows))
    else:
        with pytest.raises(DataError, match=complaint):
            check_split(judged(rows))


def test_test_queries_in_other_writing_leave_train_only() -> None:
    rows = [("tv stand", "test"), ("TV-Stand", "train"), ("tv", "train"), ("TV stand!", "test")]
    assert without_test_queries(judged(rows)).queries == ["tv stand", "tv", "TV stand!"]


@pytest.mark.parametrize(
    ("text", "readable"), [("lamp", True), ("\u2605", True), (" ", False), ("\u200b", False), ("x" * 9000, False)]
)
def test_a_text_is_readable_if_a_bundle_scores_it(text: str, readable: bool) -> None:
    assert is_readable(text) is readable


def test_only_rows_with_the_values_that_where_asks_for_are_read(tmp_path: Path) -> None:
    rows = [(*row, locale) for row in ROWS for locale in ("us", "es")]
    (tmp_path / "j.tsv").write_text(judged_table(rows, "query\ttitle\tlabel\tlocale"))
    table = {**TABLE, "where": {"locale": ["us"]}}
    assert read_judged(prepared(tmp_path, {"judged": [table]})).queries == [row[0] for row in ROWS]
    with pytest.raises(DataError, match="no row has the values that where asks for"):
        prepared(tmp_path, {"judged": [{**TABLE, "where": {"locale": ["jp"]}}]})
