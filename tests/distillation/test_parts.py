"""Measures, recipe, data reading and vocabulary, each on inputs whose answer is known."""

from __future__ import annotations

import gzip
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.card import recipe_toml
from distillation.data import DataFolder
from distillation.errors import DataError, TrainingError
from distillation.evaluate import evaluate, kindred
from distillation.metrics import auc, best_threshold, bootstrap, platt, token_overlap
from distillation.recipe import Evaluation, Recipe, load_recipe
from distillation.texts import TextTable, length_buckets
from distillation.vocabulary import CLS, PAD, SEP, SPECIAL_TOKENS, UNK, train_vocabulary

SCORED = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 12)), min_size=2, max_size=40).filter(
    lambda rows: any(label for label, _ in rows)
)


@given(rows=SCORED)
def test_best_threshold_is_the_best_of_all_cuts(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows]) / 13.0

    def f1(threshold: float) -> float:
        said = scores >= threshold
        return float(2 * (said & (labels == 1)).sum() / (said.sum() + labels.sum()))

    threshold, claimed = best_threshold(labels, scores)
    assert f1(threshold) == pytest.approx(claimed)
    assert claimed == pytest.approx(max(f1(cut) for cut in np.unique(scores)))


def test_the_bootstrap_draws_whole_queries() -> None:
    """Rows of one query repeated tenfold are no more evidence: the interval must stay as wide."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = labels + rng.normal(0, 1.0, 60)
    groups = np.arange(60) // 4
    once = bootstrap(auc, labels, scores, groups, resamples=300, confidence=0.9, seed=1)
    tenfold = bootstrap(
        auc,
        np.repeat(labels, 10),
        np.repeat(scores, 10),
        np.repeat(groups, 10),
        resamples=300,
        confidence=0.9,
        seed=1,
    )
    assert once.low < once.value < once.high
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))


def test_platt_recovers_a_known_calibration() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits + 1.0)))).astype(int)
    slope, intercept = platt(labels, logits)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(1.0, abs=0.05)


def test_a_backward_student_is_refused() -> None:
    labels = np.array([0, 0, 1, 1] * 3)
    logits = np.array([2.0, 0.5, -0.5, 1.0] * 3, dtype=np.float32)
    with pytest.raises(TrainingError, match="backwards"):
        evaluate({}, labels, np.arange(12), calibrated=logits, recipe=Evaluation(), seed=0)


def test_kindred_queries_share_a_group() -> None:
    queries = ["laptop", "Gaming laptops", "smart watch", "phone case", "smartwatch", "phone stand", "laptop", "gaming"]
    groups = kindred(queries)
    assert groups[0] == groups[1] == groups[6] == groups[7]
    assert groups[2] == groups[4]
    assert len(set(groups.tolist())) == 4


def test_token_overlap_counts_distinct_query_words() -> None:
    shares = token_overlap(["Red red SHOES", "shoes", "!"], ["red hat", "Shoes, size 4", "x"])
    np.testing.assert_array_equal(shares, [0.5, 1.0, 0.0])


def test_the_card_s_recipe_is_the_recipe() -> None:
    recipe = load_recipe()
    assert Recipe.model_validate(tomllib.loads(recipe_toml(recipe))) == recipe
    assert recipe.name == "student"


def test_vocabulary_and_the_two_forms_of_a_text() -> None:
    tokenizer = train_vocabulary(["red shoes", "red shoes size nine"] * 3, size=200)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [PAD, UNK, CLS, SEP]
    table = TextTable(tokenizer, ["red", "Red shoes size nine"], max_query_tokens=4, max_title_tokens=3)
    red, shoes = (tokenizer.token_to_id(word) for word in ("red", "shoes"))
    batch = table.batch(np.array([1, 0]), np.array([1, 0]))
    assert batch.query.tolist() == [[CLS, red, shoes, SEP], [CLS, red, SEP, PAD]]
    assert batch.query_length.tolist() == [4, 3]
    assert batch.title.tolist() == [[red, shoes, SEP], [red, SEP, PAD]]
    assert batch.title_length.tolist() == [3, 2]


def test_one_corpus_gives_one_vocabulary() -> None:
    """Many pairs of characters are equally frequent here, so that every merge is a tie to break."""
    letters = "abcdefghij"
    texts = [a + b + c for a in letters for b in letters for c in letters] * 2
    first = train_vocabulary(texts, size=150, words=["hello"])
    assert train_vocabulary(texts, size=150, words=["hello"]).to_str() == first.to_str()
    assert first.encode("Hello", add_special_tokens=False).tokens == ["hello"]


@given(st.lists(st.integers(1, 40), max_size=300), st.integers(1, 7))
def test_buckets_hold_every_row_once(lengths: list[int], batch: int) -> None:
    batches = length_buckets(np.array(lengths, dtype=np.int32), batch, np.random.default_rng(0))
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(0 < len(rows) <= batch for rows in batches)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"query\ttitle\nshoes\tred shoes\n", "column grade is missing"),
        (b"query\ttitle\tgrade\nshoes\tred shoes\n", "line 2 has 2 fields"),
        (b"query\ttitle\tgrade\nshoes\tred shoes\t7\n", "outside 0 to 3"),
    ],
)
def test_malformed_data_names_the_culprit(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "judged").mkdir()
    (tmp_path / "judged" / "icecat.tsv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=complaint):
        DataFolder(tmp_path).judged()


def test_missing_data_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"queries\.tsv\.gz"):
        DataFolder(tmp_path).queries()
    with pytest.raises(DataError, match="no such folder"):
        DataFolder(tmp_path / "nowhere")
