"""Parity: whether a bundle, called as the server calls it, computes the logits of the network that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.errors import ParityError
from evaluation.bundle_logits import bundle_logits
from relevance_model.bundle import Bundle

# How much a logit may depend on the other rows of its batch.
BATCH_INVARIANCE_TOLERANCE: Final = 1e-5
_ALONE: Final = 8

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Parity:
    """A bundle's logits, float32 [N], and the largest difference of one from that of its pair scored alone."""

    logits: Floats
    difference_alone: float


def check_parity(
    expected: Floats,
    bundle: Bundle,
    queries: Sequence[str],
    titles: Sequence[str],
    *,
    tolerance: float,
    batch_invariance_tolerance: float = BATCH_INVARIANCE_TOLERANCE,
) -> Parity:
    """Compare a bundle's logits with the network's logits of the same pairs, `expected` [N], N > 0.

    Raises
    ------
    ParityError
        If a logit differs by more than `tolerance` from the network's, or by more than `batch_invariance_tolerance`
        from that of its pair scored alone.
    """
    logits = bundle_logits(bundle, queries, titles)
    few = range(min(_ALONE, len(logits)))
    alone = np.concatenate([bundle_logits(bundle, queries[i : i + 1], titles[i : i + 1]) for i in few])
    for other, most, what in (
        (expected, tolerance, "the network's"),
        (alone, batch_invariance_tolerance, "their own of the pair alone"),
    ):
        difference = np.abs(logits[: len(other)] - other)
        if not np.all(difference <= most):
            row = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
            raise ParityError(
                f"logits of the exported graphs of {bundle.manifest.name} differ by {difference[row]:.2g} from {what}, "
                f"on query {queries[row]!r}, title {titles[row]!r}; at most {most:g} is allowed"
            )
    return Parity(logits, float(np.abs(logits[: len(alone)] - alone).max()))
