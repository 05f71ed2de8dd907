"""Parity: a bundle whose logits differ from the network's is refused."""

from __future__ import annotations

import numpy as np
import pytest

from distillation.bundle.parity import check_parity
from distillation.bundle.student_bundle import TOLERANCES
from distillation.errors import ParityError
from evaluation.bundle_logits import bundle_logits
from tests.support.exported_student import QUERIES, TITLES, ExportedStudent


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedStudent:
    return ExportedStudent(tmp_path_factory.mktemp("parity"))


def test_graphs_that_disagree_are_refused(exported: ExportedStudent) -> None:
    for precision, bundle in exported.bundles.items():
        parity = check_parity(exported.logits, bundle, QUERIES, TITLES, tolerance=TOLERANCES[precision])
        np.testing.assert_array_equal(parity.logits, bundle_logits(bundle, QUERIES, TITLES))
    exact, most = exported.bundles["float32"], TOLERANCES["float32"]
    with pytest.raises(ParityError, match=r"graphs of tiny differ by 0\.01\d* from the network's, on query"):
        check_parity(exported.logits + 0.01, exact, QUERIES, TITLES, tolerance=most)
    with pytest.raises(ParityError, match="is allowed"):
        check_parity(np.full_like(exported.logits, np.nan), exact, QUERIES, TITLES, tolerance=most)
    with pytest.raises(ParityError):
        check_parity(exported.logits, exported.bundles["int8"], QUERIES, TITLES, tolerance=most)
