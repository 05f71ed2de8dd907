"""The logits of a bundle, called as the server calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from relevance_model.bundle import Bundle, Calibration
from relevance_model.scorer import Scorer

# Scores are float32: with this calibration slope, logits up to 40 are recovered from them to within 1e-5.
_RECOVERABLE_SLOPE: Final = 1 / 16

Floats = npt.NDArray[np.float32]


def bundle_logits(bundle: Bundle, queries: Sequence[str], titles: Sequence[str]) -> Floats:
    """Return a bundle's logits before calibration, float32 [N], tokenisation included; NaN where a row has an error."""
    calibrated = bundle.manifest.model_copy(update={"calibration": Calibration(slope=_RECOVERABLE_SLOPE)})
    scorer = Scorer(Bundle(bundle.path, calibrated, bundle.sha256))
    scores = scorer.score_texts(queries, titles).scores.astype(np.float64)
    logits: Floats = ((np.log(scores) - np.log1p(-scores)) / _RECOVERABLE_SLOPE).astype(np.float32)
    return logits
