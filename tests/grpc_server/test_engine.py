"""Every caller gets its own rows, whatever was batched with them; one bad request harms no other."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from grpc_server.engine import Engine, estimate_tokens
from grpc_server.errors import DeadlineError, ScoringError, UnavailableError
from relevance_model import Bundle, Pairs, Scorer, Scores


@asynccontextmanager
async def running(scorer: Scorer, *, max_queued_rows: int = 10_000, batch_tokens: int = 2_000) -> AsyncIterator[Engine]:
    engine = Engine(scorer, max_queued_rows=max_queued_rows, batch_tokens=batch_tokens)
    engine.start()
    yield engine
    await engine.drain()


class GatedScorer(Scorer):
    """The real scorer behind a gate, so that a test decides what waits while the model is busy."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []

    def score(self, pairs: Pairs) -> Scores:
        self.batches.append(len(pairs))
        self.entered.set()
        assert self.gate.wait(60)
        return super().score(pairs)


def rows(count: int, seed: int = 0) -> Pairs:
    rng = random.Random(seed)
    words = ["red", "blue", "usb", "cable", "shoes", "lamp", "sofa", "42", "grey", "kids", "bike", "phone", "case"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(2 * count)]
    return Pairs.from_columns(texts[:count], texts[count:])


async def block(scorer: GatedScorer, engine: Engine) -> asyncio.Task[object]:
    """Keep the model busy with one row until the gate opens."""
    scorer.entered.clear()
    scorer.gate.clear()
    task: asyncio.Task[object] = asyncio.create_task(engine.score(rows(1), deadline=None, request_id="block"))
    await asyncio.to_thread(scorer.entered.wait, 60)
    return task


async def waiting(engine: Engine, count: int) -> None:
    while engine._queue.rows < count:
        await asyncio.sleep(0)


async def test_under_concurrent_load_every_row_gets_its_own_score(scorer: Scorer) -> None:
    requests = [rows(random.Random(i).randint(1, 40), seed=i) for i in range(120)]
    async with running(scorer) as engine:
        answers = await asyncio.gather(
            *(engine.score(each, deadline=60, request_id=str(i)) for i, each in enumerate(requests))
        )
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer.scores, scorer.score(request).scores, atol=1e-5)


async def test_faults_come_back_under_the_callers_own_row_numbers(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        good = asyncio.create_task(engine.score(rows(3), deadline=None, request_id="good"))
        bad = asyncio.create_task(
            engine.score(Pairs.from_columns(["a", "", "b"], ["x", "y", ""]), deadline=None, request_id="bad")
        )
        await waiting(engine, 6)
        scorer.gate.set()
        await blocker
        assert (await good).faults == {}
        assert (await bad).faults == {1: "query is empty", 2: "title is empty"}
    assert scorer.batches[-1] == 6


async def test_a_full_queue_refuses_at_once(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer, max_queued_rows=4) as engine:
        blocker = await block(scorer, engine)
        waiter = asyncio.create_task(engine.score(rows(4), deadline=None, request_id="1"))
        await waiting(engine, 4)
        with pytest.raises(UnavailableError, match="4 rows wait"):
            await engine.score(rows(1), deadline=None, request_id="2")
        scorer.gate.set()
        await blocker
        assert len((await waiter).scores) == 4


async def test_work_whose_deadline_passed_in_the_queue_is_not_scored(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        late = asyncio.create_task(engine.score(rows(2), deadline=0.0, request_id="late"))
        await waiting(engine, 2)
        scorer.gate.set()
        with pytest.raises(DeadlineError):
            await late
        await blocker
    assert 2 not in scorer.batches


async def test_work_whose_caller_left_is_not_scored(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        gone = asyncio.create_task(engine.score(rows(7), deadline=None, request_id="gone"))
        await waiting(engine, 7)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        scorer.gate.set()
        await blocker
    assert 7 not in scorer.batches


class BreakingScorer(GatedScorer):
    """Fails on any batch that holds the poisonous title, as a bug in a graph would."""

    def score(self, pairs: Pairs) -> Scores:
        if "poison" in pairs.titles:
            raise RuntimeError("secret detail")
        return super().score(pairs)


async def test_a_request_that_breaks_the_model_harms_no_other(
    student: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = BreakingScorer(student)
    with caplog.at_level(logging.ERROR):
        async with running(scorer) as engine:
            blocker = await block(scorer, engine)
            poison = Pairs.from_columns(["q"], ["poison"])
            tasks = [
                asyncio.create_task(engine.score(each, deadline=None, request_id=name))
                for name, each in (("a", rows(2)), ("b", poison), ("c", rows(3)))
            ]
            await waiting(engine, 6)
            scorer.gate.set()
            await blocker
            first, broken, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(broken, ScoringError)
    assert "secret" not in str(broken)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert (len(first.scores), len(last.scores)) == (2, 3)
    assert [r.request_id for r in caplog.records if r.msg == "a request failed"] == ["b"]


async def test_drain_answers_what_waits_and_refuses_what_comes(student: Bundle) -> None:
    scorer = GatedScorer(student)
    engine = Engine(scorer, max_queued_rows=100, batch_tokens=100)
    engine.start()
    blocker = await block(scorer, engine)
    waiter = asyncio.create_task(engine.score(rows(5), deadline=None, request_id="waits"))
    await waiting(engine, 5)
    drained = asyncio.create_task(engine.drain())
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="draining"):
        await engine.score(rows(1), deadline=None, request_id="late")
    scorer.gate.set()
    await blocker
    assert len((await waiter).scores) == 5
    await drained


def test_the_estimate_grows_with_what_the_model_must_read() -> None:
    def tokens(query: str, title: str, count: int = 1) -> int:
        return estimate_tokens(Pairs.from_columns([query] * count, [title] * count))

    assert tokens("a", "b") < tokens("a", "b" * 40) < tokens("a" * 40, "b" * 40)
    assert tokens("ab", "cdef", 10) == 10 * 3 + 10 * 6 // 4
