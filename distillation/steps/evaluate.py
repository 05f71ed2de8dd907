"""Step `evaluate`: one table, everything in it out of fold, and what the bundle needs to know about itself.

`report.json` has every number: the table, calibration and threshold of the form that ships, the parity of torch,
float32 graphs and shipped form. `table.md` is the table, the `.svg` files are the plots; the card and
`docs/model.md` show them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distillation.bundle import plots
from distillation.bundle.parity import BATCH_INVARIANCE_TOLERANCE, bundle_logits, check_parity
from distillation.bundle.precision import Form
from distillation.bundle.student_bundle import (
    TOLERANCES,
    draft_manifest,
    microseconds_per_pair,
    write_student,
)
from distillation.data.folds import FINAL, JudgedRows, folds_of, read_judged
from distillation.data.lexical_features import Bm25, token_overlap
from distillation.errors import StepError
from distillation.metrics import (
    Interval,
    Ranking,
    agreement,
    best_threshold,
    bootstrap,
    calibrate,
    calibration_error,
    cross_fitted,
    f1,
    probability,
    query_ndcg,
)
from distillation.pipeline.workspace import Context, read_columns, read_json, write_json
from distillation.steps.shared_stage import FOLDER as SHARED_STAGE
from distillation.steps.sweep import size_name, timed_pairs
from distillation.student.bilstm import BertBiLSTM, round_to_half
from distillation.student.initialization import new_student
from distillation.student.text_table import TextTable
from distillation.student.training import load_student, student_logits
from distillation.student.training_data import TOKENIZER
from distillation.teacher.ensemble import CROSS_ENCODER, TEACHER, TREES, frozen_vectors

FOLDER: Final = "evaluate"
SHIPPED: Final = "student as shipped"
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
    """A scorer of the measured rows, and what it says once calibrated on other queries."""

    logits: Floats
    scores: npt.NDArray[np.float64]
    said: npt.NDArray[np.int64]


def sources(context: Context) -> dict[str, Any]:
    """Return the sweep's result if there is one that stands."""
    sweep, _ = _sweep(context)
    return {"sweep": sweep} if sweep else {}


def run(context: Context) -> None:
    """Measure, and write numbers, table and plots."""
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
    report: dict[str, Any] = {
        "rows": len(rows),
        "queries": len(np.unique(groups)),
        "relevant": int(labels.sum()),
        "table": {name: {m: i.as_numbers() for m, i in measures.items()} for name, measures in table.items()},
        "calibration": {"method": recipe.evaluation.calibration, "slope": calibration[0], "intercept": calibration[1]},
        "threshold": threshold,
        "parity": _parity(context, judged),
        "speed": _speed_points(context, table[SHIPPED]["auc"].value),
    }
    write_json(folder / "report.json", report)
    (folder / "table.md").write_text(markdown_table(report["table"]), encoding="utf-8")
    curves = {name: Ranking(labels, scored[name].logits).curve() for name in _PLOTTED if name in scored}
    plots.roc(folder / "roc.svg", curves)
    plots.reliability(folder / "reliability.svg", labels, shipped.scores)
    plots.speed(folder / "speed.svg", report["speed"])
    for name, measures in table.items():
        context.progress.say(f"evaluate: AUC {measures['auc']}  {name}")


def markdown_table(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the table as Markdown, each cell a value with its interval."""
    lines = ["| scorer | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, measures in table.items():
        cells = [str(Interval(**measures[column])) if column in measures else "" for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _scorers(context: Context, judged: JudgedRows) -> dict[str, Floats]:
    """Return every scorer's numbers for the judged rows, in the order of the table."""
    titles = read_columns(context.folder("prepare") / "titles.parquet")["title"]
    index = Bm25(titles)
    teacher = read_columns(context.folder("finetune") / "oof.parquet")
    compared = read_columns(context.folder("compare") / "oof.parquet")
    student = read_columns(context.folder("student") / "oof.parquet")[STUDENT]
    scorers: dict[str, Any] = {
        "token overlap": token_overlap(judged.queries, judged.titles),
        "BM25": np.array([index.score(q, t) for q, t in zip(judged.queries, judged.titles, strict=True)]),
        "encoder cosine": frozen_vectors(context).cosine(judged.queries, judged.titles),
        **{name: logits for name, logits in compared.items() if not name.startswith(STUDENT)},
        **{name: teacher[name] for name in (TREES, CROSS_ENCODER) if name in teacher},
        TEACHER: teacher[TEACHER],
        **{name: logits for name, logits in compared.items() if name.startswith(STUDENT)},
        STUDENT: student,
        SHIPPED: _as_shipped(context, judged),
    }
    return {name: np.asarray(values, dtype=np.float32) for name, values in scorers.items()}


def _as_shipped(context: Context, judged: JudgedRows) -> Floats:
    """Return each measured row's logit from its fold's student, exported in the form that ships and served."""
    recipe = context.recipe
    logits = np.full(len(judged.queries), np.nan, dtype=np.float32)
    for fold in folds_of(judged):
        test = np.flatnonzero(fold.test)
        if not len(test):
            continue
        model, tokenizer = load_fold(context, fold.name)
        scratch = context.folder(FOLDER) / "scratch"
        manifest = draft_manifest(recipe.student.sizes, name=recipe.name, version=recipe.version)
        bundle = write_student(model, tokenizer, scratch, manifest, form=recipe.export.form)
        logits[test] = bundle_logits(bundle, [judged.queries[i] for i in test], [judged.titles[i] for i in test])
        shutil.rmtree(scratch)
    return logits


def load_fold(context: Context, fold: str) -> tuple[BertBiLSTM, Tokenizer]:
    """Return the student of a fold, as step `student` left it, and the vocabulary."""
    tokenizer = Tokenizer.from_file(str(context.folder(SHARED_STAGE) / TOKENIZER))
    blank = new_student(context.recipe.student.sizes, tokenizer, dropout=0.0, seed=0)
    return load_student(blank, context.folder("student") / fold), tokenizer


def _cross_fitted(context: Context, labels: Any, logits: Floats, groups: Any) -> Scored:
    evaluation = context.recipe.evaluation
    scores, said = cross_fitted(labels, logits, groups, evaluation.calibration, seed=context.recipe.seed)
    return Scored(logits, scores, said)


def _table(
    context: Context, judged: JudgedRows, rows: npt.NDArray[np.int64], scored: dict[str, Scored]
) -> dict[str, dict[str, Interval]]:
    evaluation = context.recipe.evaluation
    labels, groups, gains = judged.relevant[rows], judged.groups[rows], judged.gain[rows]
    distinct, place = np.unique(groups, return_index=True)
    teacher = scored[TEACHER].said

    def interval(measure: Callable[[Any], float]) -> Interval:
        return bootstrap(
            measure,
            groups,
            resamples=evaluation.resamples,
            confidence=evaluation.confidence,
            seed=context.recipe.seed,
        )

    def of(name: str, one: Scored) -> dict[str, Interval]:
        ranking = Ranking(labels, one.logits)
        per_query = query_ndcg(gains, one.logits, groups)

        def ndcg(weights: Any) -> float:
            values = per_query[distinct]
            known = ~np.isnan(values)
            weight = np.ones(len(rows)) if weights is None else weights
            total = weight[place][known].sum()
            return float((values[known] * weight[place][known]).sum() / total) if total > 0 else float("nan")

        measures = {
            "auc": interval(ranking.auc),
            "average_precision": interval(ranking.average_precision),
            "f1": interval(lambda w: f1(labels, one.said, w)),
            "ndcg": interval(ndcg),
            "calibration_error": interval(lambda w: calibration_error(labels, one.scores, w)),
        }
        if name != TEACHER:
            measures["agreement"] = interval(lambda w: agreement(one.said, teacher, w))
        return measures

    return {name: of(name, one) for name, one in scored.items()}


def _parity(context: Context, judged: JudgedRows) -> dict[str, Any]:
    """Compare torch, float32 graphs and every reduced form on judged pairs, by the student that ships."""
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
    round_to_half(model)
    rounded = student_logits(model, table, table.rows(queries), table.rows(titles))
    result: dict[str, Any] = {}
    manifest = draft_manifest(sizes, name=recipe.name, version=recipe.version)
    forms: tuple[Form, ...] = ("float32", "half", "int8")
    for form in forms:
        scratch = context.folder(FOLDER) / "scratch"
        bundle = write_student(model, tokenizer, scratch, manifest, form=form)
        # What ships must hold, and the graphs as such; the others are only told about.
        most = (
            (TOLERANCES[form], BATCH_INVARIANCE_TOLERANCE)
            if form in {"float32", recipe.export.form}
            else (np.inf, np.inf)
        )
        parity = check_parity(rounded, bundle, queries, titles, tolerance=most[0], batch_invariance_tolerance=most[1])
        logits = parity.logits
        both = len(np.unique(labels)) == 2
        result[form] = {
            "bytes": sum(file.stat().st_size for file in scratch.iterdir()),
            "difference_from_torch": float(np.abs(logits - trained).max()),
            "difference_alone": parity.difference_alone,
            "auc_difference": Ranking(labels, logits).auc() - Ranking(labels, trained).auc() if both else None,
        }
        shutil.rmtree(scratch)
    return result


def _sweep(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the points of the sweep, if it is of these data and this recipe; and else what differs."""
    path = context.folder("sweep") / "sweep.json"
    if not path.exists():
        return [], []
    from distillation.steps.graph import CODE, out_of_date

    try:
        differing = [what for what in out_of_date("sweep", context) if what != CODE]
    except StepError:
        return [], []
    return ([] if differing else read_json(path)), differing


def _speed_points(context: Context, auc: float) -> list[dict[str, Any]]:
    """Return the sweep's points, or the shipped student's alone if there was no sweep, or one of other inputs."""
    points, differing = _sweep(context)
    if differing:
        told = ", ".join(differing)
        context.progress.say(f"evaluate: the sweep is out of date ({told}) and left out; qtr distill sweep renews it")
    if points:
        return points
    recipe = context.recipe
    model, tokenizer = load_fold(context, FINAL)
    scratch = context.folder(FOLDER) / "scratch"
    manifest = draft_manifest(recipe.student.sizes, name=recipe.name, version=recipe.version)
    bundle = write_student(model, tokenizer, scratch, manifest, form=recipe.export.form)
    timed = microseconds_per_pair(bundle, *timed_pairs(context))
    shutil.rmtree(scratch)
    return [{"name": size_name(recipe.student.sizes), "auc": round(auc, 4), "us_per_pair": round(timed, 1)}]
