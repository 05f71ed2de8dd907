"""The fits that a set of judgements leads to."""

from __future__ import annotations

import numpy as np

from distillation.data.folds import FINAL, JudgedRows, folds_of


def rows(fold: list[int]) -> JudgedRows:
    zeros = np.zeros(len(fold), dtype=np.float32)
    texts = [str(number) for number in range(len(fold))]
    return JudgedRows(texts, texts, zeros, zeros, zeros.astype(np.int64), np.array(fold, dtype=np.int64))


def test_drawn_folds_are_measured_each_and_the_final_fit_has_all_rows() -> None:
    fits = folds_of(rows([0, 1, 0, 2]))
    assert [fit.name for fit in fits] == ["fold-0", "fold-1", "fold-2", FINAL]
    assert all((fit.train ^ fit.test).all() for fit in fits)
    assert [fit.test.tolist() for fit in fits[:1]] == [[True, False, True, False]]
    assert not fits[-1].test.any()


def test_a_split_has_one_fit_that_is_measured_on_its_test_side() -> None:
    (fit,) = folds_of(rows([-1, 0, -1]))
    assert fit.name == FINAL
    assert fit.train.tolist() == [True, False, True]
    assert fit.test.tolist() == [False, True, False]
