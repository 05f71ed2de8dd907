"""What a threshold is chosen for: the highest F1, a precision or a recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from evaluation.calibration import best_threshold
from evaluation.errors import CalibrationError
from evaluation.metrics import Floats, Ints, Ranking

# The precision of fewer rows says nothing.
_FEWEST_ROWS: Final = 10


@dataclass(frozen=True)
class Aim:
    """An aim: `f1`, or at least `share` of `precision` or `recall`."""

    measure: Literal["f1", "precision", "recall"]
    share: float = 0.0

    def __str__(self) -> str:
        """Return the aim as the command line has it."""
        return self.measure if self.measure == "f1" else f"{self.measure}={self.share:g}"

    @staticmethod
    def parse(text: str) -> Aim:
        """Return the aim `f1`, `precision=0.9` or `recall=0.95`.

        Raises
        ------
        ValueError
            If it is none of these.
        """
        measure, _, share = text.partition("=")
        try:
            if text == "f1":
                return Aim("f1")
            if measure in ("precision", "recall") and 0.0 < float(share) <= 1.0:
                return Aim("precision" if measure == "precision" else "recall", float(share))
        except ValueError:
            pass
        raise ValueError(f"{text!r}: expected f1, precision=SHARE or recall=SHARE, a share from 0 to 1")

    def threshold(self, labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
        """Return the threshold for `score >= threshold`, labels 0 or 1 and scores [N].

        For a precision it is the lowest that gives it, for a recall the highest.

        Raises
        ------
        CalibrationError
            If no threshold gives the precision on ten rows or more.
        """
        if self.measure == "f1":
            return best_threshold(labels, scores, weights)[0]
        cuts, precision, recall = Ranking(labels, scores).cuts(weights)
        if self.measure == "recall":
            # Sums of weights are rounded.
            return _below(cuts, int(np.flatnonzero(recall >= self.share - 1e-9)[0]))
        enough = _above(scores, cuts) >= min(_FEWEST_ROWS, len(scores))
        reached = np.flatnonzero((precision >= self.share) & enough)
        if not len(reached):
            raise CalibrationError(
                f"no threshold has a precision of {self.share:g} on {_FEWEST_ROWS} rows or more; the highest is "
                f"{precision[enough].max():.3f}: aim lower, or judge more pairs"
            )
        return _below(cuts, int(reached[-1]))

    def nearest_threshold(self, labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
        """Return the threshold, or that of the highest precision if none reaches it."""
        try:
            return self.threshold(labels, scores, weights)
        except CalibrationError:
            cuts, precision, _ = Ranking(labels, scores).cuts(weights)
            enough = _above(scores, cuts) >= min(_FEWEST_ROWS, len(scores))
            return _below(cuts, int(np.argmax(np.where(enough, precision, -1.0))))


def _above(scores: Floats, cuts: Floats) -> npt.NDArray[np.int64]:
    """Return how many scores are at least each cut, int64 [cuts]."""
    ascending = np.sort(scores)
    return (len(scores) - np.searchsorted(ascending, cuts, side="left")).astype(np.int64)


def _below(cuts: Floats, number: int) -> float:
    """Return the middle between a cut and the next lower score."""
    lower = cuts[number + 1] if number + 1 < len(cuts) else 0.0
    return float((cuts[number] + lower) / 2.0)
