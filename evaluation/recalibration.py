"""A bundle's Platt scaling and threshold from judged pairs of a shop, with figures by cross-validation."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from evaluation.aims import Aim
from evaluation.bundle_logits import bundle_logits
from evaluation.calibration import calibrate, check_cross_fits, cross_fitted, probability, query_folds
from evaluation.errors import CalibrationError
from evaluation.judged_file import JudgedPairs
from evaluation.metrics import (
    Draws,
    Interval,
    Metric,
    Ranking,
    bootstrap_draws,
    calibration_error,
    f1,
    log_loss,
    precision,
    recall,
)
from relevance_model.bundle import MODEL_CARD, Bundle, Calibration, file_sha256, write_bundle

FIGURES: Final = {
    "calibration_error": "ECE",
    "log_loss": "log loss",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
OLD: Final = "old"
NEW: Final = "new"
_FEWEST_QUERIES: Final = 20
_FEWEST_OF_A_CLASS: Final = 20
_CHANCE: Final = 0.5
_MARK: Final = "+cal."

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recalibration:
    """A new calibration and threshold, and how good they are on queries that they were not fitted on.

    Attributes
    ----------
    bundle
        The bundle as it was.
    slope, intercept, threshold
        The new ones.
    kept_scaling
        Whether slope and intercept are the old ones, because new ones gave a higher log loss on other queries.
    aim
        What the threshold was chosen for.
    judged
        The rows that were used.
    figures
        `FIGURES` of the old and the new, by `OLD` or `NEW` and name.
    """

    bundle: Bundle
    slope: float
    intercept: float
    threshold: float
    kept_scaling: bool
    aim: Aim
    judged: JudgedPairs
    figures: dict[tuple[str, str], Interval]

    def as_json(self) -> dict[str, Any]:
        """Return the figures, by name."""
        return {name: {which: self.figures[which, name].as_numbers() for which in (OLD, NEW)} for name in FIGURES}


def recalibrate(
    bundle: Bundle, judged: JudgedPairs, aim: Aim, *, resamples: int, confidence: float, seed: int
) -> Recalibration:
    """Fit calibration and threshold on judged pairs.

    Raises
    ------
    CalibrationError
        If the pairs are too few, have one class only, were chosen by score, or the model ranks them no better than
        chance; or if no threshold reaches the aim.
    DataError
        If too few queries have both classes.
    """
    logits = bundle_logits(bundle, judged.queries, judged.titles).astype(np.float64)
    scored = np.flatnonzero(~np.isnan(logits))
    judged, logits = judged.take(scored), logits[scored]
    labels, groups, weights = judged.relevant, judged.groups, judged.weights
    _check(judged)
    check_cross_fits(labels, groups, seed=seed)
    ranking = bootstrap_draws(
        {"": Ranking(labels, logits).auc}, groups, resamples=resamples, seed=seed, weights=weights
    )[""].interval(confidence)
    if not ranking.low > _CHANCE:
        raise CalibrationError(
            f"the model ranks these pairs no better than chance (ROC AUC {ranking}): no calibration makes it usable; "
            "check the labels, or distil a student for this shop"
        )
    old = bundle.manifest.calibration.slope, bundle.manifest.calibration.intercept
    old_scores = probability(logits, old)
    new_scores, predicted = cross_fitted(
        labels, logits, groups, "platt", seed=seed, weights=weights, rule=aim.nearest_threshold
    )
    kept = log_loss(labels, new_scores, weights) >= log_loss(labels, old_scores, weights)
    if kept:
        new_scores, predicted = old_scores, _cross_thresholds(judged, old_scores, aim, seed)
    slope, intercept = old if kept else calibrate(labels, logits, "platt", weights)
    threshold = aim.threshold(labels, probability(logits, (slope, intercept)), weights)
    old_predicted = (old_scores >= bundle.manifest.threshold).astype(np.int64)
    metrics = {
        (which, name): metric
        for which, scores, said in ((OLD, old_scores, old_predicted), (NEW, new_scores, predicted))
        for name, metric in _metrics(labels, scores, said).items()
    }
    draws: dict[tuple[str, str], Draws] = bootstrap_draws(
        metrics, groups, resamples=resamples, seed=seed, weights=weights
    )
    figures = {key: one.interval(confidence) for key, one in draws.items()}
    return Recalibration(bundle, slope, intercept, threshold, kept, aim, judged, figures)


def write_recalibrated(found: Recalibration, out: Path, source: Path, version: str) -> Bundle:
    """Write the bundle with its new calibration to the folder `out`, which appears whole or not at all.

    Parameters
    ----------
    found
        The new calibration.
    out
        A folder that does not exist.
    source
        The judged file, which the lineage names.
    version
        Version of the new bundle; "" for the old one with a digest of the new calibration.
    """
    manifest, judged = found.bundle.manifest, found.judged
    facts = {
        "from": {"name": manifest.name, "version": manifest.version, "sha256": found.bundle.sha256},
        "judged": {
            "file": source.name,
            "sha256": _digest(source),
            "rows": len(judged),
            "queries": int(judged.groups.max()) + 1,
            "relevant": int(judged.relevant.sum()),
            "sample": judged.sample,
            "relevant_labels": sorted({judged.grades[row] for row in np.flatnonzero(judged.relevant)}),
        },
        "aim": str(found.aim),
        "kept_scaling": found.kept_scaling,
    }
    update = {
        "version": version or _version(found),
        "threshold": found.threshold,
        "calibration": Calibration(slope=found.slope, intercept=found.intercept),
        "metrics": {**manifest.metrics, "recalibration": found.as_json()},
        "lineage": {**manifest.lineage, "recalibration": facts},
    }
    changed = type(manifest).model_validate({**manifest.model_dump(), **update})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".draft-") as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        for name in manifest.files:
            shutil.copyfile(found.bundle.path / name, draft / name)
        card = (draft / MODEL_CARD).read_text(encoding="utf-8")
        (draft / MODEL_CARD).write_text(
            card.rstrip() + "\n\n" + _card(found, changed.version, source), encoding="utf-8"
        )
        write_bundle(draft, changed)
        draft.rename(out)
    return Bundle.load(out)


def _check(judged: JudgedPairs) -> None:
    if judged.sample == "chosen":
        raise CalibrationError(
            "these pairs were chosen by their scores, and a threshold that fits them fits no other: "
            "use a random sample (qtr sample --choose random)"
        )
    queries = len(np.unique(judged.groups))
    if queries < _FEWEST_QUERIES:
        raise CalibrationError(
            f"{queries} queries are judged, at least {_FEWEST_QUERIES} are needed: judge pairs of more queries"
        )
    for name, count in (
        ("relevant", int(judged.relevant.sum())),
        ("irrelevant", int((1 - judged.relevant).sum())),
    ):
        if count < _FEWEST_OF_A_CLASS:
            raise CalibrationError(
                f"{count} {name} pairs are judged, at least {_FEWEST_OF_A_CLASS} are needed: judge more pairs"
            )


def _cross_thresholds(judged: JudgedPairs, scores: Floats, aim: Aim, seed: int) -> npt.NDArray[np.int64]:
    """Return the labels by thresholds that were chosen on other queries, int64 [N]."""
    predicted = np.zeros(len(judged), dtype=np.int64)
    for train, test in query_folds(judged.groups, seed):
        weights = None if judged.weights is None else judged.weights[train]
        predicted[test] = scores[test] >= aim.nearest_threshold(judged.relevant[train], scores[train], weights)
    return predicted


def _metrics(labels: npt.NDArray[np.int64], scores: Floats, predicted: npt.NDArray[np.int64]) -> dict[str, Metric]:
    return {
        "calibration_error": lambda weights: calibration_error(labels, scores, weights),
        "log_loss": lambda weights: log_loss(labels, scores, weights),
        "precision": lambda weights: precision(labels, predicted, weights),
        "recall": lambda weights: recall(labels, predicted, weights),
        "f1": lambda weights: f1(labels, predicted, weights),
    }


def _digest(source: Path) -> str:
    """Return the SHA-256 of the judged file; of a folder, that of its files' digests."""
    if source.is_file():
        return file_sha256(source)
    digests = [file_sha256(file) for file in sorted(source.rglob("*")) if file.is_file()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _version(found: Recalibration) -> str:
    """Return the old version with a digest of the new calibration; an older digest is replaced."""
    fitted = f"{found.bundle.sha256} {found.slope!r} {found.intercept!r} {found.threshold!r}"
    digest = hashlib.sha256(fitted.encode()).hexdigest()[:8]
    return f"{found.bundle.manifest.version.split(_MARK)[0]}{_MARK}{digest}"


def _card(found: Recalibration, version: str, source: Path) -> str:
    manifest, judged = found.bundle.manifest, found.judged
    before = manifest.calibration
    scaling = f"slope {found.slope:.3f} and intercept {found.intercept:.3f}"
    scaling += ", as before" if found.kept_scaling else f" instead of {before.slope:.3f} and {before.intercept:.3f}"
    lines = [
        f"## Recalibration: {version}",
        "",
        f"Threshold {found.threshold:.3f} instead of {manifest.threshold:.3f}, for the aim `{found.aim}`; {scaling}.",
        f"Fitted on {len(judged):,} judged pairs of {int(judged.groups.max()) + 1:,} queries (`{source.name}`). The",
        "figures above are those of the older threshold and scaling; these are by cross-validation over the queries:",
        "",
        "| | old | new |",
        "|---|---|---|",
        *(f"| {title} | {found.figures[OLD, name]} | {found.figures[NEW, name]} |" for name, title in FIGURES.items()),
    ]
    return "\n".join(lines) + "\n"
