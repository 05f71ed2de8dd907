"""Step `evaluate`: the table of all scorers, out of fold, and the bundle's calibration, threshold and parity.

`report.json` has every number: the table, calibration and threshold of the shipped precision, and the parity of every
precision with torch, and the behaviour by capability. `table.md` is the table as Markdown, the `.svg` files are the
plots of the card.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distillation.bundle import plots
from distillation.bundle.capability_table import SHIPPED, capabilities_path, capability_report, read_capabilities
from distillation.bundle.parity import BATCH_INVARIANCE_TOLERANCE, check_parity
from distillation.bundle.precision import Precision
from distillation.bundle.student_bundle import (
    TOLERANCES,
    draft_manifest,
    write_student,
)
from distillation.data.folds import FINAL, JudgedRows, folds_of, read_judged
from distillation.pipeline.workspace import Context, read_columns, write_json
from distillation.steps.shared_stage import FOLDER as SHARED_STAGE
from distillation.steps.sweep import current_points, speed_points
from distillation.student.bilstm import BertBiLSTM, round_to_float16
from distillation.student.initialization import new_student
from distillation.student.text_table import TextTable
from distillation.student.training import load_student, student_logits
from distillation.student.training_data import TOKENIZER
from distillation.teacher.ensemble import CROSS_ENCODER, TEACHER, TREES, sentence_embeddings
from evaluation.baselines import Bm25, token_overlap
from evaluation.bundle_logits import bundle_logits
from evaluation.calibration import best_threshold, calibrate, cross_fitted, probability
from evaluation.metrics import Interval, Ranking, agreement, bootstrap, calibration_error, f1, mean_ndcg
from relevance_model.bundle import Bundle, file_sha256

FOLDER: Final = "evaluate"
STUDENT: Final = "student"
COLUMNS: Final = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "f1": "F1 at threshold",
    "ndcg": "NDCG per query",
    "calibration_error": "ECE",
    "agreement": "agrees with teacher",
}
_PROBE_ROWS: Final = 512
_PLOTTED: Final[tuple[str, ...]] = ("token overlap", "encoder cosine", TEACHER, STUDENT, SHIPPED)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scored:
    """Logits of the measured rows, with scores and labels by a calibration and a threshold from other queries."""

    logits: Floats
    scores: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.int64]


def sources(context: Context) -> dict[str, Any]:
    """Return the checksum of the table of capabilities, and the sweep's result if it is up to date.

    Raises
    ------
    DataError
        If the table cannot be read.
    """
    read_capabilities(context.recipe, context.data)
    sweep, _ = current_points(context)
    table = file_sha256(capabilities_path(context.recipe, context.data))
    return {"capabilities": table} | ({"sweep": sweep} if sweep else {})


def run(context: Context) -> None:
    """Compute the metrics, and write report, table and plots."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    judged = read_judged(context)
    rows = np.flatnonzero(judged.measured)
    labels, groups = judged.relevant[rows], judged.groups[rows]
    scorers = _scorers(context, judged)
    scored = {name: _cross_fitted(context, labels, logits[rows], groups) for name, logits in scorers.items()}
    table = _table(context, judged, rows, scored)
    shipped = scored[SHIPPED]
    calibration = calibrate(labels, shipped.logits, recipe.evaluation.calibration)
    threshold, _ = best_threshold(labels, probability(shipped.logits, calibration))
    with _shipped_bundle(context, threshold, calibration) as bundle:
        speed = speed_points(context, bundle, table[SHIPPED]["auc"].value)
        capabilities = _capabilities(context, bundle)
    report: dict[str, Any] = {
        "rows": len(rows),
        "queries": len(np.unique(groups)),
        "relevant": int(labels.sum()),
        "table": {name: {m: i.as_numbers() for m, i in measures.items()} for name, measures in table.items()},
        "calibration": {"method": recipe.evaluation.calibration, "slope": calibration[0], "intercept": calibration[1]},
        "threshold": threshold,
        "parity": _parity(context, judged),
        "speed": speed,
        "capabilities": capabilities,
    }
    write_json(folder / "report.json", report)
    (folder / "table.md").write_text(markdown_table(report["table"]), encoding="utf-8")
    curves = {name: Ranking(labels, scored[name].logits).curve() for name in _PLOTTED if name in scored}
    plots.roc(folder / "roc.svg", curves)
    plots.reliability(folder / "reliability.svg", labels, shipped.scores)
    plots.speed(folder / "speed.svg", report["speed"])
    for name, measures in table.items():
        context.progress.say(f"evaluate: AUC {measures['auc']}  {name}")
    for name, measures in capabilities["scorers"].items():
        right = "in order {in_order:.2f}, both labels right {both_right:.2f}".format(**measures["all"])
        context.progress.say(f"evaluate: capabilities: {right}  {name}")


def markdown_table(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the table as Markdown, each cell a value with its interval."""
    lines = ["| scorer | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, measures in table.items():
        cells = [str(Interval(**measures[column])) if column in measures else "" for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _scorers(context: Context, judged: JudgedRows) -> dict[str, Floats]:
    """Return every scorer's logits or scores of the judged rows, in the order of the table."""
    titles = read_columns(context.folder("prepare") / "titles.parquet")["title"]
    index = Bm25(titles)
    teacher = read_columns(context.folder("finetune") / "oof.parquet")
    compared = read_columns(context.folder("compare") / "oof.parquet")
    student = read_columns(context.folder("student") / "oof.parquet")[STUDENT]
    scorers: dict[str, Any] = {
        "token overlap": token_overlap(judged.queries, judged.titles),
        "BM25": np.array([index.score(q, t) for q, t in zip(judged.queries, judged.titles, strict=True)]),
        "encoder cosine": sentence_embeddings(context).cosine(judged.queries, judged.titles),
        **{name: logits for name, logits in compared.items() if not name.startswith(STUDENT)},
        **{name: teacher[name] for name in (TREES, CROSS_ENCODER) if name in teacher},
        TEACHER: teacher[TEACHER],
        **{name: logits for name, logits in compared.items() if name.startswith(STUDENT)},
        STUDENT: student,
        SHIPPED: _as_shipped(context, judged),
    }
    return {name: np.asarray(values, dtype=np.float32) for name, values in scorers.items()}


def _as_shipped(context: Context, judged: JudgedRows) -> Floats:
    """Return each measured row's logit by the bundle of its fold's student in the shipped precision."""
    recipe = context.recipe
    logits = np.full(len(judged.queries), np.nan, dtype=np.float32)
    for fold in folds_of(judged):
        test = np.flatnonzero(fold.test)
        if not len(test):
            continue
        model, tokenizer = load_fold(context, fold.name)
        scratch = context.folder(FOLDER) / "scratch"
        manifest = draft_manifest(recipe.student.sizes, name=recipe.name, version=recipe.version)
        bundle = write_student(model, tokenizer, scratch, manifest, precision=recipe.export.precision)
        logits[test] = bundle_logits(bundle, [judged.queries[i] for i in test], [judged.titles[i] for i in test])
        shutil.rmtree(scratch)
    return logits


@contextmanager
def _shipped_bundle(context: Context, threshold: float, calibration: tuple[float, float]) -> Iterator[Bundle]:
    """Write the student that ships, with the threshold and calibration that ship; it is removed at the end."""
    recipe = context.recipe
    model, tokenizer = load_fold(context, FINAL)
    scratch = context.folder(FOLDER) / "scratch"
    manifest = draft_manifest(
        recipe.student.sizes, name=recipe.name, version=recipe.version, threshold=threshold, calibration=calibration
    )
    yield write_student(model, tokenizer, scratch, manifest, precision=recipe.export.precision)
    shutil.rmtree(scratch)


def _capabilities(context: Context, bundle: Bundle) -> dict[str, Any]:
    path, triples = capabilities_path(context.recipe, context.data), read_capabilities(context.recipe, context.data)
    return capability_report(path, triples, bundle, sentence_embeddings(context))


def load_fold(context: Context, fold: str) -> tuple[BertBiLSTM, Tokenizer]:
    """Return a fold's student as trained by step `student`, and the vocabulary."""
    tokenizer = Tokenizer.from_file(str(context.folder(SHARED_STAGE) / TOKENIZER))
    blank = new_student(context.recipe.student.sizes, tokenizer, dropout=0.0, seed=0)
    return load_student(blank, context.folder("student") / fold), tokenizer


def _cross_fitted(context: Context, labels: Any, logits: Floats, groups: Any) -> Scored:
    evaluation = context.recipe.evaluation
    scores, predicted = cross_fitted(labels, logits, groups, evaluation.calibration, seed=context.recipe.seed)
    return Scored(logits, scores, predicted)


def _table(
    context: Context, judged: JudgedRows, rows: npt.NDArray[np.int64], scored: dict[str, Scored]
) -> dict[str, dict[str, Interval]]:
    evaluation = context.recipe.evaluation
    labels, groups, gains = judged.relevant[rows], judged.groups[rows], judged.gain[rows]
    teacher = scored[TEACHER].predicted

    def interval(metric: Callable[[Any], float]) -> Interval:
        return bootstrap(
            metric,
            groups,
            resamples=evaluation.resamples,
            confidence=evaluation.confidence,
            seed=context.recipe.seed,
        )

    def metrics_of(name: str, scorer: Scored) -> dict[str, Interval]:
        ranking = Ranking(labels, scorer.logits)
        metrics = {
            "auc": interval(ranking.auc),
            "average_precision": interval(ranking.average_precision),
            "f1": interval(lambda w: f1(labels, scorer.predicted, w)),
            "ndcg": interval(mean_ndcg(gains, scorer.logits, groups)),
            "calibration_error": interval(lambda w: calibration_error(labels, scorer.scores, w)),
        }
        if name != TEACHER:
            metrics["agreement"] = interval(lambda w: agreement(scorer.predicted, teacher, w))
        return metrics

    return {name: metrics_of(name, scorer) for name, scorer in scored.items()}


def _parity(context: Context, judged: JudgedRows) -> dict[str, Any]:
    """Compare every precision of the student that ships with torch, on judged pairs."""
    recipe = context.recipe
    queries, titles = judged.queries[:_PROBE_ROWS], judged.titles[:_PROBE_ROWS]
    labels = judged.relevant[:_PROBE_ROWS]
    model, tokenizer = load_fold(context, FINAL)
    sizes = recipe.student.sizes
    table = TextTable(
        tokenizer,
        [*queries, *titles],
        max_query_tokens=sizes.max_query_tokens,
        max_title_tokens=sizes.max_title_tokens,
    )
    trained = student_logits(model, table, table.rows(queries), table.rows(titles))
    round_to_float16(model)
    rounded = student_logits(model, table, table.rows(queries), table.rows(titles))
    result: dict[str, Any] = {}
    manifest = draft_manifest(sizes, name=recipe.name, version=recipe.version)
    precisions: tuple[Precision, ...] = ("float32", "float16", "int8")
    for precision in precisions:
        scratch = context.folder(FOLDER) / "scratch"
        bundle = write_student(model, tokenizer, scratch, manifest, precision=precision)
        # Only float32 and the shipped precision must keep the tolerances; the others are only reported.
        checked = precision in {"float32", recipe.export.precision}
        parity = check_parity(
            rounded,
            bundle,
            queries,
            titles,
            tolerance=TOLERANCES[precision] if checked else np.inf,
            batch_invariance_tolerance=BATCH_INVARIANCE_TOLERANCE if checked else np.inf,
        )
        logits = parity.logits
        both_classes = len(np.unique(labels)) == 2
        result[precision] = {
            "bytes": sum(file.stat().st_size for file in scratch.iterdir()),
            "difference_from_torch": float(np.abs(logits - trained).max()),
            "difference_alone": parity.difference_alone,
            "auc_difference": Ranking(labels, logits).auc() - Ranking(labels, trained).auc() if both_classes else None,
        }
        shutil.rmtree(scratch)
    return result
