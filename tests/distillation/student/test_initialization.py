"""Projection of embeddings to the student's width."""

from __future__ import annotations

import numpy as np

from distillation.student.initialization import reduce_width


def test_an_uncentred_projection_keeps_the_cosines_of_rows_in_a_subspace() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 12))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    reduced = reduce_width(rows, 3, centred=False)
    np.testing.assert_allclose(reduced @ reduced.T, rows @ rows.T, atol=1e-4)


def test_missing_directions_are_zero() -> None:
    reduced = reduce_width(np.eye(3, dtype=np.float32), 5, centred=True)
    assert reduced.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1.0, atol=1e-5)
    assert not reduced[:, 3:].any()
