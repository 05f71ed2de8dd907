"""The steps from data to a student's bundle, in order; each is a function of its own file, strung together here."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.card import model_card
from distillation.data import DataFolder, Judged
from distillation.evaluate import Report, evaluate, kindred, out_of_fold
from distillation.export import draft_manifest, export_bundle
from distillation.initial import embed_pieces, reduce_width
from distillation.metrics import token_overlap
from distillation.model import BertBiLSTM, Shape, round_to_half
from distillation.pairs import SoftPairs, shared_pairs
from distillation.recipe import Recipe
from distillation.teacher import TEACHER_NAME, TeacherVectors, common_words
from distillation.texts import TextTable
from distillation.training import HardRows, SoftTargets, finetune, predict, train_shared
from distillation.vocabulary import train_vocabulary
from relevance_model.bundle import Bundle

_LOG = logging.getLogger(__name__)
_PROBE_ROWS = 512


@dataclass(frozen=True, slots=True)
class Material:
    """What the stages share: texts, the teacher's vectors of them, and the pairs."""

    tokenizer: Tokenizer
    teacher: TeacherVectors
    table: TextTable
    vectors: npt.NDArray[np.float16]
    soft: SoftTargets
    judged: Judged


def distil_student(recipe: Recipe, *, data_root: Path, work: Path, out: Path) -> tuple[Bundle, Report]:
    """Run the whole recipe and write the bundle ``out``.

    Parameters
    ----------
    recipe
        Every choice.
    data_root
        The data folder (see :mod:`distillation.data`).
    work
        Where the teacher's vectors and the shared stage's weights are kept; made if absent.
    out
        Folder of the bundle; what it held is replaced.
    """
    torch.set_num_threads(recipe.threads)
    data = DataFolder(data_root)
    material = gather(recipe, data, TeacherVectors(work / "teacher"))
    base = shared_stage(recipe, material, work / f"shared-{_key(recipe, data)}.pt")
    report = cross_validate(recipe, material, base)
    final = fit_judged(recipe, material, base, np.arange(len(material.judged.grades)))
    pairs = min(_PROBE_ROWS, len(material.judged.grades))
    bundle = export_bundle(
        final,
        material.tokenizer,
        out,
        manifest=draft_manifest(
            name=recipe.name,
            version=recipe.version,
            threshold=report.threshold,
            calibration=report.calibration,
            max_query_tokens=recipe.student.max_query_tokens,
            max_title_tokens=recipe.student.max_title_tokens,
            metrics={
                "rows": report.rows,
                "queries": report.queries,
                "auc": {name: interval.as_numbers() for name, interval in report.auc.items()},
                "average_precision": {name: i.as_numbers() for name, i in report.average_precision.items()},
                "f1": round(report.f1, 4),
            },
            lineage={"teacher": TEACHER_NAME, "data": data.lineage, "recipe": recipe.model_dump(mode="json")},
        ),
        card=model_card(recipe, report, data.lineage),
        probe=(material.judged.queries[:pairs], material.judged.titles[:pairs]),
    )
    return bundle, report


def gather(recipe: Recipe, data: DataFolder, teacher: TeacherVectors) -> Material:
    """Read the sources, train the vocabulary, and ask the teacher about every text."""
    rng = np.random.default_rng(recipe.seed)
    judged = data.judged()
    common = common_words(recipe.student.common_words)
    pairs = shared_pairs(data, recipe.pairs, words=common, held_out=set(judged.queries), rng=rng)
    _LOG.info("shared stage: %d pairs; judged: %d", len(pairs), len(judged.grades))
    corpus = [*data.titles(), *data.queries(), *dict.fromkeys(pairs.queries)]
    tokenizer = train_vocabulary(corpus, size=recipe.student.vocabulary, words=common)
    table = TextTable(
        tokenizer,
        [*judged.queries, *judged.titles, *pairs.queries, *pairs.titles],
        max_query_tokens=recipe.student.max_query_tokens,
        max_title_tokens=recipe.student.max_title_tokens,
    )
    vectors = teacher.of(table.texts)
    return Material(tokenizer, teacher, table, vectors, _soft_targets(recipe, table, vectors, pairs), judged)


def shared_stage(recipe: Recipe, material: Material, checkpoint: Path) -> BertBiLSTM:
    """Train a student on everything but human judgements, or take it from ``checkpoint`` if that is there."""
    student = recipe.student
    torch.manual_seed(recipe.seed)
    shape = Shape(material.tokenizer.get_vocab_size(), student.embedding, student.hidden, student.vector, student.head)
    model = BertBiLSTM(shape, dropout=student.dropout)
    if checkpoint.exists():
        _LOG.info("shared stage: taken from %s", checkpoint)
        model.load_state_dict(torch.load(checkpoint, weights_only=True))
        return model.eval()
    embed_pieces(model, material.tokenizer, material.teacher)
    vectors = reduce_width(material.vectors, student.vector, centred=False)
    train_shared(model, material.table, vectors, material.soft, recipe.shared, seed=recipe.seed)
    torch.save(model.state_dict(), checkpoint)
    return model


def cross_validate(recipe: Recipe, material: Material, base: BertBiLSTM) -> Report:
    """Measure what the judged stage makes of ``base``, on queries that it did not see."""
    table, judged = material.table, material.judged
    query_rows, title_rows = table.rows(judged.queries), table.rows(judged.titles)
    labels = (np.array(judged.grades) >= recipe.evaluation.relevant_grade).astype(np.int64)

    def fit_and_predict(train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        model = fit_judged(recipe, material, base, train)
        round_to_half(model)
        return predict(model, table, query_rows[test], title_rows[test])

    by_query = out_of_fold(fit_and_predict, query_rows, recipe.evaluation, seed=recipe.seed)
    apart = out_of_fold(fit_and_predict, kindred(judged.queries), recipe.evaluation, seed=recipe.seed)
    scorers: dict[str, npt.NDArray[np.floating]] = {
        "student": by_query,
        "student, kindred queries apart": apart,
        "teacher cosine": _cosine(material.vectors, query_rows, title_rows),
        "token overlap": token_overlap(judged.queries, judged.titles),
    }
    # A night asks for far more than the judged queries' kin, so what a score promises is learnt from strangers.
    return evaluate(scorers, labels, query_rows, calibrated=apart, recipe=recipe.evaluation, seed=recipe.seed)


def fit_judged(recipe: Recipe, material: Material, base: BertBiLSTM, rows: npt.NDArray[np.int64]) -> BertBiLSTM:
    """Return ``base`` fine-tuned on the judged ``rows``."""
    judged, table = material.judged, material.table
    target = np.array(recipe.finetune.grade_targets, dtype=np.float32)[np.array(judged.grades)[rows]]
    hard = HardRows(table.rows(judged.queries)[rows], table.rows(judged.titles)[rows], target)
    return finetune(base, table, hard, material.soft, recipe.finetune, seed=recipe.seed)


def _key(recipe: Recipe, data: DataFolder) -> str:
    """Return a short name for the recipe's and the data's part in the shared stage.

    This code's own part is not in it: after a change to the network or its training, start from an empty work folder.
    """
    parts = recipe.model_dump_json(include={"seed", "student", "teacher", "pairs", "shared"})
    sources = json.dumps({name: entry["sha256"] for name, entry in sorted(data.lineage.items())})
    return hashlib.sha256((parts + sources).encode()).hexdigest()[:12]


def _soft_targets(recipe: Recipe, table: TextTable, vectors: npt.NDArray[np.float16], pairs: SoftPairs) -> SoftTargets:
    query_rows, title_rows = table.rows(pairs.queries), table.rows(pairs.titles)
    cosine = _cosine(vectors, query_rows, title_rows)
    opinion = 1.0 / (1.0 + np.exp(-recipe.teacher.slope * (cosine - recipe.teacher.centre)))
    target = np.where(np.isnan(pairs.label), opinion, pairs.label).astype(np.float32)
    return SoftTargets(query_rows, title_rows, target, cosine, pairs.weight)


def _cosine(
    vectors: npt.NDArray[np.float16], query_rows: npt.NDArray[np.int64], title_rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    cosine = np.empty(len(query_rows), dtype=np.float32)
    for start in range(0, len(cosine), 1 << 15):
        part = slice(start, start + (1 << 15))
        q, t = vectors[query_rows[part]].astype(np.float32), vectors[title_rows[part]].astype(np.float32)
        cosine[part] = np.einsum("nd,nd->n", q, t)
    return cosine
