"""Word overlap and BM25."""

from __future__ import annotations

import numpy as np

from distillation.data.lexical_features import overlap_features
from evaluation.baselines import Bm25, token_overlap
from evaluation.metrics import auc


def test_token_overlap_counts_distinct_query_words_plurals_aside() -> None:
    shares = token_overlap(["Red red SHOES", "shoe", "!"], ["red hat", "Shoes, size 4", "x"])
    np.testing.assert_array_equal(shares, [0.5, 1.0, 0.0])


def test_bm25_finds_what_it_scores_highest() -> None:
    titles = ["red shoes", "blue shoes for men", "red hat", "lamp", "red red lamp with a red shade"]
    index = Bm25(titles)
    for query in ("red shoes", "lamp", "red", "men"):
        scores = np.array([index.score(query, title) for title in titles])
        best = index.best(query, 3)
        np.testing.assert_allclose(scores[best], np.sort(scores)[::-1][: len(best)], rtol=1e-5)
    assert index.best("sofa", 3).tolist() == []
    assert index.score("sofa", "red sofa") > 0


def test_overlap_features_tell_a_hit_from_a_miss() -> None:
    index = Bm25(["red shoes", "blue hat", "laptop 15 inch"])
    hit, miss = overlap_features(["laptop 15", "laptop 15"], ["Laptop 15 inch", "blue hat"], index)
    assert hit[0] == 1.0
    assert miss[0] == 0.0
    assert hit[-1] > miss[-1]
    assert np.isfinite([hit, miss]).all()
    assert auc(np.array([1, 0]), np.array([hit[2], miss[2]])) == 1.0
