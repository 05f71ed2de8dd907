"""Step `prepare`: folds, samples, lineage and weak labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillation.data.folds import FINAL, folds_of, read_judged
from distillation.pipeline.workspace import Context, read_columns, read_json
from distillation.recipe.recipe import Recipe
from distillation.steps.prepare import run, sources
from tests.support.prepared_data import ROWS, TABLE, judged_table, prepared


def test_a_fold_has_whole_queries_and_optionally_overlapping_ones(tmp_path: Path) -> None:
    queries = ["laptop", "gaming laptops", "desk", "lamp", "rug", "blue rug"]
    rows = [(query, f"{query} {label}", label) for query in queries for label in ("good", "bad")]
    (tmp_path / "j.tsv").write_text(judged_table(rows))
    for seed in range(5):
        recipe = Recipe.model_validate(
            {"seed": seed, "data": {"judged": [TABLE]}, "evaluation": {"folds": 2, "groups": "overlapping"}}
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


def test_train_loses_queries_of_test_in_other_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such queries, like C++ and C#, occur in public splits, which users should not have to edit."""
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


def test_weak_pairs_get_random_negatives(tmp_path: Path) -> None:
    (tmp_path / "j.tsv").write_text(judged_table(ROWS))
    (tmp_path / "w.tsv").write_text("category\ttitle\n" + "".join(f"class {n}\tthing {n}\n" for n in range(20)))
    weak = {"path": "w.tsv", "query": "category", "random_negatives": 2}
    columns = read_columns(prepared(tmp_path, {"judged": [TABLE], "weak": [weak]}).folder("prepare") / "weak.parquet")
    own = [q.split()[1] == t.split()[1] for q, t in zip(columns["query"], columns["title"], strict=True)]
    np.testing.assert_array_equal(columns["target"], np.array(own, dtype=np.float32))
    assert sum(own) == 20
    assert 20 < len(own) - sum(own) <= 40


def test_contrast_pairs_join_the_weak_ones_and_leave_the_other_samples_alone(tmp_path: Path) -> None:
    rows = [(f"query {n}", f"Red Running Shoes {n}", label) for n in range(4) for label in ("good", "bad")]
    (tmp_path / "j.tsv").write_text(judged_table(rows))
    (tmp_path / "w.tsv").write_text("query\ttitle\n" + "".join(f"kind {n}\tthing {n}\n" for n in range(30)))
    data = {"judged": [TABLE], "weak": [{"path": "w.tsv"}], "weak_rows": 10}
    before = prepared(tmp_path, data).folder("prepare")
    plain = {name: read_columns(before / f"{name}.parquet") for name in ("weak", "titles")}
    after = prepared(tmp_path, {**data, "contrast": {"made": 40, "variants": 30, "swapped": 20}}).folder("prepare")
    weak = read_columns(after / "weak.parquet")
    assert len(weak["query"]) == 10 + 40 + 30 + 20
    assert weak["target"].dtype == np.float32
    assert {*zip(plain["weak"]["query"], plain["weak"]["title"], strict=True)} <= {
        *zip(weak["query"], weak["title"], strict=True)
    }
    assert read_columns(after / "titles.parquet")["title"] == plain["titles"]["title"]
    assert 0 < (weak["target"] < 0.5).sum() < len(weak["target"])
