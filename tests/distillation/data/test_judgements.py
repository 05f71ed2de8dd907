"""Data adapters on small files of the very shapes that WANDS, ESCI and people's tables have."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillation.data.folds import FINAL, folds_of, read_judged
from distillation.errors import DataError
from distillation.pipeline.workspace import Context, read_columns, read_json
from distillation.recipe.recipe import Recipe
from distillation.steps.prepare import run, sources
from tests.support.small_shop import Shop, small_shop, write_esci, write_wands

TABLE = {"format": "table", "path": "j.tsv", "labels": {"bad": 0.0, "good": 1.0}}


def prepared(root: Path, data: dict[str, object], **evaluation: object) -> Context:
    recipe = Recipe.model_validate({"data": data, "evaluation": {"folds": 2, **evaluation}})
    context = Context(recipe, root / "work", root)
    run(context)
    return context


def judged_table(rows: list[tuple[object, ...]], header: str = "query\ttitle\tlabel") -> str:
    return "\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n"


ROWS: list[tuple[object, ...]] = [
    (f"query {n}", f"title {n} {m}", label) for n in range(4) for m, label in enumerate(("good", "bad"))
]


@pytest.fixture
def shop() -> Shop:
    return small_shop()


def test_wands(shop: Shop, tmp_path: Path) -> None:
    write_wands(shop, tmp_path / "wands")
    context = prepared(tmp_path, {"judged": [{"format": "wands", "path": "wands"}]})
    judged = read_judged(context)
    worth = {"Exact": (0.95, 1.0), "Partial": (0.4, 0.5), "Irrelevant": (0.03, 0.0)}
    expected = [(query, shop.products[i], *worth[label]) for query, i, label in shop.judgements]
    seen = zip(judged.queries, judged.titles, judged.target.round(2), judged.gain, strict=True)
    assert [(q, t, pytest.approx(x), g) for q, t, x, g in seen] == expected
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


def test_folds_hold_queries_whole_and_kindred_ones_together_if_asked(tmp_path: Path) -> None:
    queries = ["laptop", "gaming laptops", "desk", "lamp", "rug", "blue rug"]
    rows = [(query, f"{query} {label}", label) for query in queries for label in ("good", "bad")]
    (tmp_path / "j.tsv").write_text(judged_table(rows))
    for seed in range(5):
        recipe = Recipe.model_validate(
            {"seed": seed, "data": {"judged": [TABLE]}, "evaluation": {"folds": 2, "groups": "kindred"}}
        )
        context = Context(recipe, tmp_path / "work", tmp_path)
        run(context)
        judged = read_judged(context)
        fold = dict(zip(judged.queries, judged.fold.tolist(), strict=True))
        assert fold["laptop"] == fold["gaming laptops"]
        assert fold["rug"] == fold["blue rug"]
        assert {fold[q] == f for q, f in zip(judged.queries, judged.fold, strict=True)} == {True}
        assert [f.name for f in folds_of(judged)] == ["fold-0", "fold-1", FINAL]


def test_a_query_in_other_writing_is_in_the_same_fold(tmp_path: Path) -> None:
    queries = ["TV Stand", "tv stand", "tv-stand", "desk", "lamp", "rug", "chair", "bed"]
    rows = [(query, f"{query} {label}", label) for query in queries for label in ("good", "bad")]
    (tmp_path / "j.tsv").write_text(judged_table(rows))
    for seed in range(5):
        recipe = Recipe.model_validate({"seed": seed, "data": {"judged": [TABLE]}, "evaluation": {"folds": 3}})
        context = Context(recipe, tmp_path / "work", tmp_path)
        run(context)
        judged = read_judged(context)
        assert len(set(judged.fold[:6].tolist())) == 1
        assert len(set(judged.groups[:6].tolist())) == 1


def test_rows_that_no_bundle_scores_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable = [("\u200b", "a title", "good"), ("a query", "x" * 9000, "bad"), ("a query", " ", "bad")]
    (tmp_path / "j.tsv").write_text(judged_table([*ROWS, *unreadable]))
    assert read_judged(prepared(tmp_path, {"judged": [TABLE]})).queries == [row[0] for row in ROWS]
    assert "3 judged rows left out" in capsys.readouterr().err


def test_train_loses_what_test_asks_in_other_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C++ and C# are one query to most eyes; a public split is not to be edited for that."""
    sides = {"query 0": "test", "query 1": "test"}
    rows = [(*row, sides.get(str(row[0]), "train")) for row in ROWS]
    twin = [("Query-0", "title", "good", "train")]
    (tmp_path / "j.tsv").write_text(judged_table([*rows, *twin], "query\ttitle\tlabel\ts"))
    assert read_judged(prepared(tmp_path, {"judged": [{**TABLE, "split": "s"}]})).queries == [row[0] for row in ROWS]
    assert "prepare: 1 rows of train left out: test has their query" in capsys.readouterr().err


def test_a_sample_keeps_both_sides_of_a_split(tmp_path: Path) -> None:
    rows = [
        (f"query {n}", f"title {n} {m}", label, "test" if n % 10 == 0 else "train")
        for n in range(60)
        for m, label in enumerate(("good", "bad"))
    ]
    (tmp_path / "j.tsv").write_text(judged_table(rows, "query\ttitle\tlabel\ts"))
    judged = read_judged(prepared(tmp_path, {"judged": [{**TABLE, "split": "s"}], "judged_rows": 40}))
    assert 30 <= len(judged.queries) <= 40
    assert 2 <= len(set(judged.evaluated_queries())) <= 4


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "j.tsv").write_text(judged_table([(f"{folder} {q}", t, label) for q, t, label in ROWS]))
    data = tmp_path / "data"
    data.mkdir()
    judged = [{**TABLE, "path": str(tmp_path / folder / "j.tsv")} for folder in ("here", "there")]
    recipe = Recipe.model_validate({"data": {"judged": judged}, "evaluation": {"folds": 2}})
    context = Context(recipe, tmp_path / "work", data)
    run(context)
    before = sources(context)
    lineage = read_json(context.folder("prepare") / "lineage.json")
    assert list(lineage) == ["j.tsv", "j.tsv (2)"]
    (tmp_path / "there" / "j.tsv").write_text(judged_table(ROWS))
    assert sources(context) != before


def test_weak_pairs_get_strangers_and_a_name_of_another_row(tmp_path: Path) -> None:
    (tmp_path / "j.tsv").write_text(judged_table(ROWS))
    (tmp_path / "w.tsv").write_text("category\ttitle\n" + "".join(f"class {n}\tthing {n}\n" for n in range(20)))
    weak = {"path": "w.tsv", "query": "category", "strangers": 2}
    columns = read_columns(prepared(tmp_path, {"judged": [TABLE], "weak": [weak]}).folder("prepare") / "weak.parquet")
    own = [q.split()[1] == t.split()[1] for q, t in zip(columns["query"], columns["title"], strict=True)]
    np.testing.assert_array_equal(columns["target"], np.array(own, dtype=np.float32))
    assert sum(own) == 20
    assert 20 < len(own) - sum(own) <= 40


def break_wands(root: Path, name: str, change: Callable[[str], str]) -> None:
    path = root / "wands" / name
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("data", "text", "complaint"),
    [
        ({}, judged_table(ROWS, "q\ttitle\tlabel"), r"column query is missing; it has q, title, label"),
        ({}, judged_table([*ROWS, ("a", "b", "so-so")]), r"unknown label 'so-so'; the recipe knows bad, good"),
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
        ("query.csv", lambda text: text + "0\tanother\t\n", r"query\.csv: query_id '0' stands twice"),
    ],
)
def test_broken_wands_names_the_culprit(
    name: str, change: Callable[[str], str], complaint: str, shop: Shop, tmp_path: Path
) -> None:
    write_wands(shop, tmp_path / "wands")
    break_wands(tmp_path, name, change)
    with pytest.raises(DataError, match=complaint):
        prepared(tmp_path, {"judged": [{"format": "wands", "path": "wands"}]})


@pytest.mark.parametrize(
    ("name", "write", "complaint"),
    [
        ("night", lambda path: path.mkdir(), r"night: holds no file that ends in \.parquet"),
        ("p.tsv.gz", lambda path: path.write_bytes(gzip.compress(b"q" * 99)[:-20]), r"p\.tsv\.gz: cannot be read"),
        ("p.tsv.gz", lambda path: path.write_bytes(damaged(gzip.compress(b"q" * 99))), r"p\.tsv\.gz: cannot be read"),
        ("p.parquet", lambda path: write_parquet(path, [["a"]]), r"column query cannot be read as text"),
        (
            "p.parquet",
            lambda path: write_parquet(path, [b"\xff"]),
            r"column query (is not UTF|cannot be read)",
        ),
        ("p.parquet", lambda path: path.write_bytes(b"PAR1"), r"p\.parquet: cannot be read as Parquet"),
    ],
)
def test_bad_pairs_name_the_culprit(name: str, write: Callable[[Path], object], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "j.tsv").write_text(judged_table(ROWS))
    write(tmp_path / name)
    with pytest.raises(DataError, match=complaint):
        prepared(tmp_path, {"judged": [TABLE], "pairs": [{"path": name}]})


def write_parquet(path: Path, queries: list[object]) -> None:
    pq.write_table(pa.table({"query": queries, "title": ["a"] * len(queries)}), path)


def damaged(packed: bytes) -> bytes:
    return packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:]


def test_a_locale_that_esci_lacks_is_told(shop: Shop, tmp_path: Path) -> None:
    write_esci(shop, tmp_path)
    with pytest.raises(DataError, match="no row has product_locale 'jp' in the small version"):
        prepared(tmp_path, {"judged": [{"format": "esci", "locale": "jp"}]})
