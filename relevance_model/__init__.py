"""The relevance model as a library: bundles, tokenisation, scoring. It has no transport.

>>> from relevance_model import Bundle, Scorer
>>> scorer = Scorer(Bundle.default())
>>> result = scorer.score_texts(["red shoes"], ["Kestrel red canvas sneakers, size 42"])
>>> bool(0.0 <= result.scores[0] <= 1.0)
True
"""

from relevance_model.bundle import Bundle, BundleManifest, Calibration, Graphs, default_bundle_path, write_bundle
from relevance_model.errors import BundleError, ModelError, RequestError
from relevance_model.explanation import (
    DEFAULT_MAX_COST,
    Explainer,
    Explanation,
    WordContribution,
    baseline_of,
    baseline_pairs,
)
from relevance_model.pairs import Pairs
from relevance_model.scorer import DEFAULT_CACHE_BYTES, DEFAULT_MICRO_BATCH, LogitScorer, Scorer, Scores
from relevance_model.text_cache import CacheStats
from relevance_model.tokenizer import DEFAULT_MAX_TEXT_BYTES

__all__ = [
    "DEFAULT_CACHE_BYTES",
    "DEFAULT_MAX_COST",
    "DEFAULT_MAX_TEXT_BYTES",
    "DEFAULT_MICRO_BATCH",
    "Bundle",
    "BundleError",
    "BundleManifest",
    "CacheStats",
    "Calibration",
    "Explainer",
    "Explanation",
    "Graphs",
    "LogitScorer",
    "ModelError",
    "Pairs",
    "RequestError",
    "Scorer",
    "Scores",
    "WordContribution",
    "baseline_of",
    "baseline_pairs",
    "default_bundle_path",
    "write_bundle",
]
