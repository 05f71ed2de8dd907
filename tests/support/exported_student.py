"""A small untrained student, and its bundles in every precision."""

from __future__ import annotations

from pathlib import Path

import torch

from distillation.bundle.precision import Precision
from distillation.bundle.student_bundle import draft_manifest, write_student
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


class ExportedStudent:
    def __init__(self, folder: Path) -> None:
        self.tokenizer = train_vocabulary([*SHOP.products, *QUERIES], size=400)
        self.model = new_student(SIZES, self.tokenizer, dropout=0.1, seed=1).eval()
        with torch.no_grad():
            # Weights as a trained network has them: of several sizes, and not near zero.
            for parameter in self.model.parameters():
                parameter.mul_(1.5)
        manifest = draft_manifest(SIZES, name="tiny", version="1")
        self.bundles: dict[Precision, Bundle] = {}
        for precision in ("float32", "float16", "int8"):
            self.bundles[precision] = write_student(
                self.model, self.tokenizer, folder / precision, manifest, precision=precision
            )
        table = TextTable(self.tokenizer, [*QUERIES, *TITLES], max_query_tokens=16, max_title_tokens=40)
        self.logits = student_logits(self.model, table, table.rows(QUERIES), table.rows(TITLES))

    def size(self, precision: Precision) -> int:
        return sum(file.stat().st_size for file in self.bundles[precision].path.glob("*.onnx"))
