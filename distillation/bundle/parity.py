"""Whether a bundle computes what the network behind it does, asked the way it will be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.errors import ParityError
from relevance_model.bundle import Bundle, Calibration
from relevance_model.scorer import Scorer

# How far a logit may move with what else is in its batch.
BATCH_INVARIANCE_TOLERANCE: Final = 1e-5
_ALONE: Final = 8
# Scores are float32: with a slope this flat, logits up to 40 come back out of them to within 1e-5.
_GENTLE_SLOPE: Final = 1 / 16

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Parity:
    """What a bundle says, logits float32 [N], and the most that one of them moved with its batch."""

    logits: Floats
    difference_alone: float


def bundle_logits(bundle: Bundle, queries: Sequence[str], titles: Sequence[str]) -> Floats:
    """Return what a bundle says, float32 [N], tokenisation included, before calibration; NaN where a row fails."""
    calibrated = bundle.manifest.model_copy(update={"calibration": Calibration(slope=_GENTLE_SLOPE)})
    scorer = Scorer(Bundle(bundle.path, calibrated, bundle.sha256))
    scores = scorer.score_texts(queries, titles).scores.astype(np.float64)
    logits: Floats = ((np.log(scores) - np.log1p(-scores)) / _GENTLE_SLOPE).astype(np.float32)
    return logits


def check_parity(
    expected: Floats,
    bundle: Bundle,
    queries: Sequence[str],
    titles: Sequence[str],
    *,
    tolerance: float,
    batch_invariance_tolerance: float = BATCH_INVARIANCE_TOLERANCE,
) -> Parity:
    """Compare a bundle with the network's logits of the same pairs [N], N > 0.

    Raises
    ------
    ParityError
        If a logit is further from the network's, or moves further with its batch, than it may.
    """
    logits = bundle_logits(bundle, queries, titles)
    few = range(min(_ALONE, len(logits)))
    alone = np.concatenate([bundle_logits(bundle, queries[i : i + 1], titles[i : i + 1]) for i in few])
    for other, most, what in (
        (expected, tolerance, "what the network says"),
        (alone, batch_invariance_tolerance, "what they say of the pair alone"),
    ):
        difference = np.abs(logits[: len(other)] - other)
        if not np.all(difference <= most):
            row = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
            raise ParityError(
                f"the exported graphs of {bundle.manifest.name} are {difference[row]:.2g} away from {what}, on query "
                f"{queries[row]!r}, title {titles[row]!r}; at most {most:g} is allowed"
            )
    return Parity(logits, float(np.abs(logits[: len(alone)] - alone).max()))
