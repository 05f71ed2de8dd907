"""The plots of a model card, as small SVG files: the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("agg")

from matplotlib import pyplot as plt

Floats = npt.NDArray[np.floating]
_SIZE: Final = (4.6, 3.6)
_POINTS: Final = 120
_BINS: Final = 10
_STYLE: Final[Any] = {
    "svg.hashsalt": "qtr",
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def roc(path: Path, curves: Mapping[str, tuple[Floats, Floats]]) -> None:
    """Draw false against true positive rates, one line per scorer."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SIZE)
        for name, (false, true) in curves.items():
            grid = np.linspace(0.0, 1.0, _POINTS)
            axes.plot(grid, np.interp(grid, false, true), label=name, linewidth=1.2)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.6, linestyle=":")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC, out of fold")
        axes.legend(loc="lower right", fontsize=7)
        _save(figure, path)


def reliability(path: Path, labels: npt.NDArray[np.integer], scores: Floats) -> None:
    """Draw the share of relevant rows over the mean score of ten equal bins; a dot's area is its share of the rows."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    filled = count > 0
    mean = np.bincount(bins, weights=scores, minlength=_BINS)[filled] / count[filled]
    rate = np.bincount(bins, weights=labels, minlength=_BINS)[filled] / count[filled]
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SIZE)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.6, linestyle=":")
        axes.scatter(mean, rate, s=15 + 600 * count[filled] / count.sum(), alpha=0.6)
        axes.plot(mean, rate, linewidth=0.8)
        axes.set(xlabel="score", ylabel="share relevant", xlim=(0, 1), ylim=(0, 1), title="Reliability, out of fold")
        _save(figure, path)


def speed(path: Path, points: Sequence[Mapping[str, Any]]) -> None:
    """Draw AUC over microseconds per pair, a dot per size; `points` have `name`, `auc` and `us_per_pair`."""
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=_SIZE)
        for point in points:
            axes.scatter(point["us_per_pair"], point["auc"], s=30, color="tab:blue")
            where = (point["us_per_pair"], point["auc"])
            axes.annotate(point["name"], where, xytext=(4, 4), textcoords="offset points", fontsize=7)
        axes.set(xlabel="µs per pair, one thread, tokenisation included", ylabel="ROC AUC", title="Size and speed")
        axes.set_xlim(left=0.0)
        axes.margins(x=0.25, y=0.2)
        _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "qtr"})
    plt.close(figure)
