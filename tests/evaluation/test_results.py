"""What an evaluation says: weights, paired differences, slices, reliability, and a page that obeys no text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.errors import DataError
from evaluation.judged_file import JudgedPairs
from evaluation.model_scores import ModelScores
from evaluation.page import page
from evaluation.results import AGAINST, MODEL, Evaluation, Options, evaluate
from tests.qtr_runtime.test_html import Seen

ROWS = 400
FEW = Options(resamples=200)


def pairs(weights: bool = False) -> JudgedPairs:
    rng = np.random.default_rng(0)
    relevant = rng.integers(0, 2, ROWS)
    queries = [f"query {row // 4}" + " with more words" * (row % 8 > 3) for row in range(ROWS)]
    titles = [f"query {row // 4} {'mug' if one else 'sofa'} {row}" for row, one in enumerate(relevant)]
    return JudgedPairs(
        queries, titles, [str(one) for one in relevant], relevant, relevant.astype(np.float32),
        rng.uniform(1.0, 9.0, ROWS) if weights else None, {}, "random" if weights else "none",
    )  # fmt: skip


def scores(judged: JudgedPairs, noise: float, version: str = "1") -> ModelScores:
    rng = np.random.default_rng(int(100 * noise))
    values = 1 / (1 + np.exp(-(2.0 * judged.relevant - 1.0) * 2.0 - rng.normal(0, noise, len(judged))))
    return ModelScores("model", version, "ab" * 32, 0.5, values, {}, np.where(judged.relevant == 1, 0.0, 0.7))


@pytest.fixture(scope="module")
def compared() -> Evaluation:
    judged = pairs()
    return evaluate("judged.csv", judged, scores(judged, 1.0, "2"), scores(judged, 4.0), FEW)


def test_a_better_model_is_shown_to_be_better_and_a_model_equals_itself(compared: Evaluation) -> None:
    assert compared.verdict("auc") == "better"
    difference = compared.difference("auc")
    assert difference is not None
    value = compared.table.interval(MODEL, "auc"), compared.table.interval(AGAINST, "auc")
    assert value[0] is not None
    assert value[1] is not None
    assert difference.value == pytest.approx(value[0].value - value[1].value)
    assert 0.0 < difference.low < difference.value < difference.high
    # Rows are paired: the interval is narrower than that of two models on different rows.
    apart = np.hypot(value[0].high - value[0].low, value[1].high - value[1].low)
    assert difference.high - difference.low < 1.05 * apart
    same = evaluate("judged.csv", compared.judged, compared.model, compared.model, FEW)
    assert (same.verdict("auc"), same.difference("auc").as_numbers()) == (  # type: ignore[union-attr]
        "no difference shown",
        {"value": 0.0, "low": 0.0, "high": 0.0},
    )
    turned = evaluate("judged.csv", compared.judged, scores(compared.judged, 4.0), compared.model, FEW)
    assert turned.verdict("auc") == "worse"
    # A lower calibration error is better.
    ece = compared.difference("calibration_error")
    assert ece is not None
    assert compared.verdict("calibration_error") == ("better" if ece.high < 0 else "no difference shown")


def test_weighted_rows_count_as_often_as_they_stand_for() -> None:
    judged = pairs(weights=True)
    assert judged.weights is not None
    whole = replace(judged, weights=np.round(judged.weights))
    weights = np.round(judged.weights).astype(int)
    times = np.repeat(np.arange(ROWS), weights)
    repeated = replace(judged.take(times), weights=None, sample="random")
    weighted = evaluate("a.csv", whole, scores(judged, 2.0), None, FEW)
    expected = evaluate("a.csv", repeated, scores(judged, 2.0).take(times), None, FEW)
    for name in ("auc", "average_precision", "precision", "recall", "f1", "calibration_error"):
        ours, theirs = weighted.table.interval(MODEL, name), expected.table.interval(MODEL, name)
        assert ours is not None
        assert theirs is not None
        assert ours.value == pytest.approx(theirs.value), name
    assert weighted.best_f1() == pytest.approx(expected.best_f1())
    assert [one.share for one in weighted.reliability()] == pytest.approx([one.share for one in expected.reliability()])


def test_slices_part_the_rows(compared: Evaluation) -> None:
    by_kind: dict[str, int] = {}
    for part in compared.parts:
        by_kind[part.kind] = by_kind.get(part.kind, 0) + part.rows
    assert by_kind == dict.fromkeys(("query length", "words of the query in the title", "unknown pieces"), ROWS)
    unknown = {part.value: part for part in compared.parts if part.kind == "unknown pieces"}
    assert unknown["half or more"].relevant == 0
    assert "auc" not in unknown["half or more"].metrics


def test_rows_without_a_score_by_either_model_are_left_out() -> None:
    judged = pairs()
    model, other = scores(judged, 1.0), scores(judged, 2.0)
    model.scores[3], other.scores[5] = np.nan, np.nan
    model, other = replace(model, errors={3: "title is odd"}), replace(other, errors={3: "no", 5: "query is odd"})
    evaluation = evaluate("judged.csv", judged, model, other, FEW)
    assert len(evaluation.judged) == ROWS - 2
    assert evaluation.unscored == {"title is odd": 1, "query is odd": 1}
    with pytest.raises(DataError, match=r"no row has a score \(gone\)"):
        evaluate("judged.csv", judged, replace(model, errors=dict.fromkeys(range(ROWS), "gone")), None, FEW)


def test_the_page_shows_texts_and_obeys_none_and_the_numbers_hold_none(compared: Evaluation) -> None:
    judged = compared.judged
    wrong = int(compared.worst(1, 1)[0])
    evil = "<script>alert(1)</script>"
    judged.queries[wrong] = evil
    seen = Seen(page(compared, "auc"))
    assert evil in seen.text
    assert "script" not in seen.tags
    assert not [value for name, value in seen.attributes if name in {"src", "href", "onclick"}]
    for words in ("Better", "ROC", "Reliability", "Threshold", "Worst errors", "Slices", "shared words", "BM25"):
        assert words in seen.text, words
    numbers = json.dumps(compared.as_json(), allow_nan=False)
    assert evil not in numbers
    assert "mug" not in numbers


def test_one_class_alone_is_measured_as_far_as_it_goes() -> None:
    judged = pairs()
    rows = np.flatnonzero(judged.relevant == 1)
    evaluation = evaluate("judged.csv", judged.take(rows), scores(judged, 1.0).take(rows), None, FEW)
    numbers = evaluation.as_json()["metrics"][MODEL]
    assert numbers["auc"]["value"] is None
    assert numbers["precision"]["value"] == 1.0
    assert "Worst errors" in page(evaluation, "auc")
