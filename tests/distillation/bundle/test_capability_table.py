"""The behaviour by capability in report and card: what is counted, which threshold, and which line comes first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from distillation.bundle.capability_table import SHIPPED, capability_report, capability_table
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.pipeline.progress import Progress
from evaluation.capabilities import Triple, compare_model, pairs_of, read_triples
from relevance_model import Bundle
from relevance_model.scorer import Scorer
from tests.support.small_shop import small_shop, write_encoder

# By shared words, with a threshold of one half: "brand | kind" is right, "kind" is not.
ROWS = [
    Triple("brand | kind", "kestrel laptop", "kestrel laptop notebook", "camera dslr"),
    Triple("brand | kind", "okapi camera", "okapi digital 12", "tarn printer toner"),
    Triple("kind", "tarn shoes", "quill sneakers 31", "tarn fridge freezer"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "mine.tsv"
    lines = ["capability\tquery\tbetter\tworse", *(f"{t.capability}\t{t.query}\t{t.better}\t{t.worse}" for t in ROWS)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEmbeddings:
    root = tmp_path_factory.mktemp("encoder")
    return SentenceEmbeddings(str(write_encoder(small_shop(), root / "encoder")), root / "kept", Progress())


def test_the_student_has_its_own_threshold_and_the_baselines_their_best(
    table: Path, encoder: SentenceEmbeddings, student: Bundle
) -> None:
    report = capability_report(table, read_triples(table), student, encoder)
    assert (report["rows"], report["file"]) == (3, "mine.tsv")
    assert report["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    overlap = report["scorers"]["token overlap"]
    assert overlap["threshold"] == 0.5
    assert overlap["all"] == {"rows": 3, "in_order": pytest.approx(2 / 3), "both_right": pytest.approx(2 / 3)}
    assert overlap["by_capability"]["kind"] == {"rows": 1, "in_order": 0.0, "both_right": 0.0}
    shipped = report["scorers"][SHIPPED]
    assert shipped["threshold"] == pytest.approx(student.manifest.threshold)
    scores = Scorer(student).score_texts(*pairs_of(ROWS)).scores
    assert shipped["all"]["both_right"] == compare_model(ROWS, scores, student.manifest.threshold).total().both_right
    assert json.loads(json.dumps(report)) == report


def test_the_table_has_the_student_s_worst_first_and_all_rows_last(
    table: Path, encoder: SentenceEmbeddings, student: Bundle
) -> None:
    report = capability_report(table, read_triples(table), student, encoder)
    for name, right in (("brand | kind", 0.5), ("kind", 1.0)):
        report["scorers"][SHIPPED]["by_capability"][name] |= {"in_order": right, "both_right": right}
    report["scorers"][SHIPPED]["all"] |= {"in_order": 0.75, "both_right": 0.25}
    text = capability_table(report)
    assert "3 rows of 2 capabilities, `mine.tsv`" in text
    header, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
    assert header == "| capability | rows | student as shipped | token overlap | encoder cosine |"
    assert lines[0].startswith("| brand \\| kind | 2 | 0.50 / 0.50 | 1.00 / 1.00 |")
    assert lines[1].startswith("| kind | 1 | 1.00 / 1.00 | 0.00 / 0.00 |")
    assert lines[2].startswith("| **all** | 3 | **0.75 / 0.25** | **0.67 / 0.67** |")
