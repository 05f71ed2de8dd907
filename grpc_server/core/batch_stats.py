"""What a batch came to: from the work that was in it and the scorer's own counters."""

from __future__ import annotations

from grpc_server.core.observer import BatchStats, CacheUse
from grpc_server.core.queue import Work
from relevance_model import Scorer, Scores


def text_counts(scorer: Scorer) -> dict[str, CacheUse]:
    """Return how often each column of texts was found in the scorer's cache, and how often not, so far."""
    columns = {"query": scorer.queries.cache, "title": scorer.titles.cache}
    return {name: CacheUse(cache.hits, cache.misses) for name, cache in columns.items()}


def batch_stats(
    batch: list[Work], scorer: Scorer, result: Scores, before: dict[str, CacheUse], seconds: float
) -> BatchStats:
    """Describe a batch that took `seconds`; `before` is what `text_counts` said when it began."""
    after = text_counts(scorer)
    manifest = scorer.bundle.manifest
    return BatchStats(
        model=manifest.name,
        version=manifest.version,
        lane=batch[0].lane.value,
        rows=len(result.scores),
        invalid_rows=len(result.faults),
        tokens=sum(work.tokens for work in batch),
        seconds=seconds,
        tokenize_seconds=result.tokenize_seconds,
        infer_seconds=result.infer_seconds,
        queue_seconds=[work.taken - work.enqueued for work in batch],
        texts={
            name: CacheUse(use.hits - before[name].hits, use.misses - before[name].misses)
            for name, use in after.items()
        },
        contexts=[work.context for work in batch],
    )
