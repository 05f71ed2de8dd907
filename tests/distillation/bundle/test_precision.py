"""Reduced forms: smaller, near the float32 graphs, and as independent of the batch as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distillation.bundle.parity import bundle_logits, check_parity
from distillation.bundle.precision import Form
from distillation.bundle.student_bundle import TOLERANCES, draft_manifest, write_student
from distillation.errors import ParityError
from distillation.recipe.recipe import Sizes
from distillation.student.initialization import new_student
from distillation.student.text_table import TextTable
from distillation.student.training import student_logits
from distillation.student.vocabulary import train_vocabulary
from relevance_model import Bundle
from tests.support.small_shop import small_shop

SIZES = Sizes(vocabulary=400, common_words=0, embedding=32, hidden=24, vector=16, token=16, head=16)
SHOP = small_shop()
QUERIES = [query for query, _, _ in SHOP.judgements[:60]]
TITLES = [SHOP.products[i] for _, i, _ in SHOP.judgements[:60]]


class Exported:
    def __init__(self, folder: Path) -> None:
        self.tokenizer = train_vocabulary([*SHOP.products, *QUERIES], size=400)
        self.model = new_student(SIZES, self.tokenizer, dropout=0.1, seed=1).eval()
        with torch.no_grad():
            # Weights as a trained network has them: of several sizes, and not near zero.
            for parameter in self.model.parameters():
                parameter.mul_(1.5)
        manifest = draft_manifest(SIZES, name="tiny", version="1")
        self.bundles: dict[Form, Bundle] = {}
        for form in ("float32", "half", "int8"):
            self.bundles[form] = write_student(self.model, self.tokenizer, folder / form, manifest, form=form)
        table = TextTable(self.tokenizer, [*QUERIES, *TITLES], max_query_tokens=16, max_title_tokens=40)
        self.logits = student_logits(self.model, table, table.rows(QUERIES), table.rows(TITLES))

    def size(self, form: Form) -> int:
        return sum(file.stat().st_size for file in self.bundles[form].path.glob("*.onnx"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("forms"))


@pytest.mark.parametrize(("form", "most"), [("float32", 1e-4), ("half", 0.01), ("int8", 0.25)])
def test_a_form_stays_near_the_network(exported: Exported, form: Form, most: float) -> None:
    difference = np.abs(bundle_logits(exported.bundles[form], QUERIES, TITLES) - exported.logits)
    assert difference.max() <= most
    assert exported.logits.std() > 10 * difference.std()


@pytest.mark.parametrize("form", ["float32", "half", "int8"])
def test_a_score_belongs_to_its_pair_in_every_form(exported: Exported, form: Form) -> None:
    bundle = exported.bundles[form]
    together = bundle_logits(bundle, QUERIES[:12], TITLES[:12])
    alone = np.concatenate([bundle_logits(bundle, QUERIES[i : i + 1], TITLES[i : i + 1]) for i in range(12)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_reduced_form_is_smaller(exported: Exported) -> None:
    assert exported.size("int8") < exported.size("half") < exported.size("float32")


def test_graphs_that_disagree_are_refused(exported: Exported) -> None:
    for form, bundle in exported.bundles.items():
        parity = check_parity(exported.logits, bundle, QUERIES, TITLES, tolerance=TOLERANCES[form])
        np.testing.assert_array_equal(parity.logits, bundle_logits(bundle, QUERIES, TITLES))
    exact, most = exported.bundles["float32"], TOLERANCES["float32"]
    with pytest.raises(ParityError, match=r"graphs of tiny are 0\.01\d* away from what the network says, on query"):
        check_parity(exported.logits + 0.01, exact, QUERIES, TITLES, tolerance=most)
    with pytest.raises(ParityError, match="is allowed"):
        check_parity(np.full_like(exported.logits, np.nan), exact, QUERIES, TITLES, tolerance=most)
    with pytest.raises(ParityError):
        check_parity(exported.logits, exported.bundles["int8"], QUERIES, TITLES, tolerance=most)
