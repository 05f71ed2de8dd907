"""Every caller gets its own rows, whatever was batched with them; one bad request harms no other."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from grpc_server.core.engine import MAX_INTERACTIVE_TOKENS, Engine
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.results import Result
from grpc_server.core.splitting import charge
from grpc_server.core.work import Lane
from grpc_server.errors import DeadlineError, ScoringError, UnavailableError
from relevance_model import Bundle, Pairs, Scorer, Scores
from tests.support.gated_scorer import BreakingScorer, GatedScorer


class Core(Engine):
    """The engine with a shorter call for bulk requests."""

    async def ask(self, pairs: Pairs, request_id: str = "", deadline: float | None = None) -> Result:
        return await self.score(
            pairs, scorer=self.models.current, lane=Lane.BULK, deadline=deadline, request_id=request_id
        )


@asynccontextmanager
async def running(
    scorer: Scorer, *, max_queued_tokens: int = 1 << 20, batch_tokens: int = 2_000
) -> AsyncIterator[Core]:
    engine = Core(
        ModelRegistry(scorer),
        max_queued_tokens=max_queued_tokens,
        batch_tokens=batch_tokens,
        mixed_batch_tokens=batch_tokens,
    )
    engine.start()
    yield engine
    await engine.drain()


def rows(count: int, seed: int = 0) -> Pairs:
    rng = random.Random(seed)
    words = ["red", "blue", "usb", "cable", "shoes", "lamp", "sofa", "42", "grey", "kids", "bike", "phone", "case"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(2 * count)]
    return Pairs.from_columns(texts[:count], texts[count:])


async def block(scorer: GatedScorer, engine: Core) -> asyncio.Task[object]:
    """Keep the model busy with one row until the gate opens."""
    scorer.entered.clear()
    scorer.gate.clear()
    task: asyncio.Task[object] = asyncio.create_task(engine.ask(rows(1)))
    await asyncio.to_thread(scorer.entered.wait, 60)
    return task


async def waiting(engine: Engine, *requests: Pairs) -> None:
    """Return once these requests, and no others, wait in the bulk lane."""
    tokens = sum(charge(pairs, engine.models.current.bundle.manifest).tokens for pairs in requests)
    while engine.queue.tokens(Lane.BULK) != tokens:
        await asyncio.sleep(0)


async def test_under_concurrent_load_every_row_gets_its_own_score(scorer: Scorer) -> None:
    requests = [rows(random.Random(i).randint(1, 40), seed=i) for i in range(120)]
    async with running(scorer) as engine:
        answers = await asyncio.gather(*(engine.ask(each, str(i), 60) for i, each in enumerate(requests)))
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer.scores, scorer.score(request).scores, atol=1e-5)


async def test_row_errors_have_the_row_numbers_of_their_request(student: Bundle) -> None:
    scorer = GatedScorer(student)
    requests = [rows(3), Pairs.from_columns(["a", "", "b"], ["x", "y", ""])]
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        good, bad = (asyncio.create_task(engine.ask(each)) for each in requests)
        await waiting(engine, *requests)
        scorer.gate.set()
        await blocker
        assert (await good).row_errors == {}
        assert (await bad).row_errors == {1: "query is empty", 2: "title is empty"}
    assert scorer.batches[-1] == 6


async def test_a_full_lane_refuses_at_once(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer, max_queued_tokens=50) as engine:
        blocker = await block(scorer, engine)
        waiter = asyncio.create_task(engine.ask(rows(4)))
        await waiting(engine, rows(4))
        with pytest.raises(UnavailableError, match="bulk tokens wait, the limit is 50"):
            await engine.ask(rows(4))
        scorer.gate.set()
        await blocker
        assert len((await waiter).scores) == 4


async def test_work_whose_deadline_passed_in_the_queue_is_not_scored(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        late = asyncio.create_task(engine.ask(rows(2), deadline=0.0))
        await waiting(engine, rows(2))
        scorer.gate.set()
        with pytest.raises(DeadlineError):
            await late
        await blocker
    assert 2 not in scorer.batches


async def test_work_whose_caller_left_is_not_scored(student: Bundle) -> None:
    scorer = GatedScorer(student)
    async with running(scorer) as engine:
        blocker = await block(scorer, engine)
        gone = asyncio.create_task(engine.ask(rows(7)))
        await waiting(engine, rows(7))
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        scorer.gate.set()
        await blocker
    assert 7 not in scorer.batches


async def test_an_interactive_call_passes_a_large_job_between_two_of_its_parts(student: Bundle) -> None:
    scorer = GatedScorer(student)
    job, interactive = rows(60), rows(2, seed=1)
    async with running(scorer, batch_tokens=100) as engine:
        blocker = await block(scorer, engine)
        labelled = asyncio.create_task(engine.ask(job))
        await waiting(engine, job)
        asked = asyncio.create_task(
            engine.score(interactive, scorer=scorer, lane=Lane.INTERACTIVE, deadline=None, request_id="")
        )
        while not engine.queue.tokens(Lane.INTERACTIVE):
            await asyncio.sleep(0)
        scorer.gate.set()
        await blocker
        await asked
        whole = await labelled
    assert scorer.batches[1] == 2
    assert len(scorer.batches) > 5
    np.testing.assert_allclose(whole.scores, scorer.score(job).scores, atol=1e-5)


async def test_a_request_that_breaks_the_model_harms_no_other(
    student: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = BreakingScorer(student)
    with caplog.at_level(logging.ERROR):
        async with running(scorer) as engine:
            blocker = await block(scorer, engine)
            poison = Pairs.from_columns(["q"], ["poison"])
            requests = {"a": rows(2), "b": poison, "c": rows(3)}
            tasks = [asyncio.create_task(engine.ask(each, name)) for name, each in requests.items()]
            await waiting(engine, *requests.values())
            scorer.gate.set()
            await blocker
            first, broken, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(broken, ScoringError)
    assert "secret" not in str(broken)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert (len(first.scores), len(last.scores)) == (2, 3)
    logged = {record.msg: vars(record) for record in caplog.records}
    assert logged["a batch failed; its requests are tried alone"]["request_ids"] == ["a", "b", "c"]
    assert logged["a request failed"]["request_id"] == "b"


class RecordingScorer(Scorer):
    """Records on which thread each batch is scored, and its rows."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.asked: list[tuple[bool, int]] = []

    def score(self, pairs: Pairs) -> Scores:
        self.asked.append((threading.current_thread() is threading.main_thread(), len(pairs)))
        return super().score(pairs)


@dataclass
class IncomingCalls:
    pending: int = 0
    newest_at: float = -math.inf


def ask_interactively(engine: Engine, pairs: Pairs) -> asyncio.Task[Result]:
    call = engine.score(pairs, scorer=engine.models.current, lane=Lane.INTERACTIVE, deadline=None, request_id="")
    return asyncio.create_task(call)


async def test_a_lone_pair_is_scored_on_the_loop_once_the_model_is_known_to_be_fast(student: Bundle) -> None:
    scorer = RecordingScorer(student)
    async with running(scorer) as engine:
        engine.inline_latency.observe(1, 0.0)
        answer = await ask_interactively(engine, rows(1))
        await ask_interactively(engine, rows(60))
    assert scorer.asked == [(True, 1), (False, 60)]
    assert answer.scores == pytest.approx(scorer.score(rows(1)).scores, abs=1e-6)


async def test_a_slow_model_never_blocks_the_loop(student: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grpc_server.core.inline_latency._INLINE_MAX_SECONDS", 0.0)
    scorer = RecordingScorer(student)
    async with running(scorer) as engine:
        for _ in range(3):
            await ask_interactively(engine, rows(1))
    assert scorer.asked == [(False, 1)] * 3


async def test_interactive_calls_that_arrive_together_are_scored_as_one_batch(
    student: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grpc_server.core.engine._COALESCE_MAX_SECONDS", 3600.0)
    scorer, incoming_calls = RecordingScorer(student), IncomingCalls()
    engine = Core(
        ModelRegistry(scorer),
        max_queued_tokens=1 << 20,
        batch_tokens=2000,
        mixed_batch_tokens=2000,
        incoming_calls=incoming_calls,
    )
    engine.inline_latency.observe(1, 0.0)
    engine.start()
    loop = asyncio.get_running_loop()
    incoming_calls.pending, incoming_calls.newest_at = 1, loop.time() + 3600
    first = ask_interactively(engine, rows(1))
    while engine.queue.requests(Lane.INTERACTIVE) < 1:
        await asyncio.sleep(0)
    others = [ask_interactively(engine, rows(1, seed)) for seed in (1, 2)]
    while engine.queue.requests(Lane.INTERACTIVE) < 3:
        await asyncio.sleep(0)
    incoming_calls.pending, incoming_calls.newest_at = 0, -math.inf
    await asyncio.gather(first, *others)
    await engine.drain()
    assert scorer.asked == [(False, 3)]


async def test_an_engine_that_breaks_down_logs_it_and_refuses_work(
    student: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    class Dying(Scorer):
        def score(self, pairs: Pairs) -> Scores:
            raise SystemExit("out of everything")

    async with running(Dying(student)) as engine:
        lost = asyncio.create_task(engine.ask(rows(1)))
        await engine.broken.wait()
        with pytest.raises(UnavailableError):
            await engine.ask(rows(1))
        lost.cancel()
    assert "the engine broke down" in caplog.text
    assert "out of everything" in caplog.text


async def test_drain_answers_what_waits_and_refuses_what_comes(student: Bundle) -> None:
    scorer = GatedScorer(student)
    engine = Core(ModelRegistry(scorer), max_queued_tokens=1000, batch_tokens=100, mixed_batch_tokens=100)
    engine.start()
    blocker = await block(scorer, engine)
    waiter = asyncio.create_task(engine.ask(rows(5)))
    await waiting(engine, rows(5))
    drained = asyncio.create_task(engine.drain())
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="draining"):
        await engine.ask(rows(1))
    scorer.gate.set()
    await blocker
    assert len((await waiter).scores) == 5
    await drained


async def test_a_call_over_the_interactive_limit_waits_in_the_bulk_lane_whatever_it_asks_for(student: Bundle) -> None:
    scorer = GatedScorer(student)
    large = Pairs.from_columns(["lamp"] * 64, [f"{number} " + "x" * 8000 for number in range(64)])
    assert charge(large, student.manifest).tokens > MAX_INTERACTIVE_TOKENS
    async with running(scorer, batch_tokens=1 << 20) as engine:
        blocker = await block(scorer, engine)
        bulky = ask_interactively(engine, large)
        while not engine.queue.tokens(Lane.BULK):
            await asyncio.sleep(0)
        small = ask_interactively(engine, rows(64))
        while not engine.queue.tokens(Lane.INTERACTIVE):
            await asyncio.sleep(0)
        assert engine.queue.requests(Lane.BULK) == 1
        scorer.gate.set()
        await asyncio.gather(blocker, bulky, small)
    assert scorer.batches == [1, 64, 64]
