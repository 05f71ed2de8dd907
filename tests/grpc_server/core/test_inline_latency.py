"""When small batches may run on the event loop."""

from __future__ import annotations

from grpc_server.core.inline_latency import INLINE_MAX_TOKENS, InlineLatency

FAST, SLOW = 0.0005, 0.05


def observed(*seconds: float, tokens: int = 1) -> InlineLatency:
    latency = InlineLatency()
    for each in seconds:
        latency.observe(tokens, each)
    return latency


def test_nothing_runs_inline_until_a_small_batch_was_fast() -> None:
    assert not observed().acceptable
    assert not observed(SLOW).acceptable
    assert observed(FAST).acceptable


def test_one_pause_does_not_end_the_inline_path() -> None:
    assert observed(FAST, SLOW, SLOW, SLOW).acceptable


def test_a_model_that_became_slow_ends_it_and_one_fast_batch_allows_it_again() -> None:
    assert not observed(FAST, SLOW, SLOW, SLOW, SLOW).acceptable
    assert observed(FAST, SLOW, SLOW, SLOW, SLOW, FAST).acceptable


def test_large_batches_do_not_count() -> None:
    latency = observed(SLOW)
    latency.observe(INLINE_MAX_TOKENS + 1, FAST)
    assert not latency.acceptable
    latency.observe(INLINE_MAX_TOKENS, FAST)
    assert latency.acceptable
