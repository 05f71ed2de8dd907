"""Statistics of one batch, for observers: computed from its work, its scores and the scorer's cache counters."""

from __future__ import annotations

from collections.abc import Mapping

from grpc_server.core.observer import BatchStats, CacheUse
from grpc_server.core.work import Work
from relevance_model import CacheStats, LogitScorer, Scorer, Scores


def batch_stats(
    batch: list[Work], scorer: Scorer, scores: Scores, before: Mapping[str, CacheStats], seconds: float
) -> BatchStats:
    """Return the statistics of a batch that took `seconds`; `before` is `scorer.cache_stats()` from when it began."""
    manifest = scorer.bundle.manifest
    # Parts of pairs have small caches of their own; they say nothing about the texts of callers.
    explaining = isinstance(scorer, LogitScorer)
    after = {} if explaining else scorer.cache_stats()
    return BatchStats(
        model=manifest.name,
        version=manifest.version,
        lane=batch[0].lane.value,
        rows=len(scores.scores),
        error_rows=len(scores.errors),
        tokens=sum(work.tokens for work in batch),
        seconds=seconds,
        tokenize_seconds=scores.tokenize_seconds,
        infer_seconds=scores.infer_seconds,
        queue_seconds=[work.queue_seconds for work in batch],
        texts={
            name: CacheUse(stats.hits - before[name].hits, stats.misses - before[name].misses)
            for name, stats in after.items()
        },
        contexts=[work.context for work in batch],
        explaining=explaining,
    )
