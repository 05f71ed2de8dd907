"""Reduced precisions: smaller, near the float32 graphs, and as independent of the batch as they are."""

from __future__ import annotations

import numpy as np
import pytest

from distillation.bundle.precision import Precision
from evaluation.bundle_logits import bundle_logits
from tests.support.exported_student import QUERIES, TITLES, ExportedStudent


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedStudent:
    return ExportedStudent(tmp_path_factory.mktemp("precisions"))


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-4), ("float16", 0.01), ("int8", 0.25)])
def test_a_precision_stays_near_the_network(exported: ExportedStudent, precision: Precision, most: float) -> None:
    difference = np.abs(bundle_logits(exported.bundles[precision], QUERIES, TITLES) - exported.logits)
    assert difference.max() <= most
    assert exported.logits.std() > 10 * difference.std()


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_score_belongs_to_its_pair_in_every_precision(exported: ExportedStudent, precision: Precision) -> None:
    bundle = exported.bundles[precision]
    together = bundle_logits(bundle, QUERIES[:12], TITLES[:12])
    alone = np.concatenate([bundle_logits(bundle, QUERIES[i : i + 1], TITLES[i : i + 1]) for i in range(12)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_reduced_precision_is_smaller(exported: ExportedStudent) -> None:
    assert exported.size("int8") < exported.size("float16") < exported.size("float32")
