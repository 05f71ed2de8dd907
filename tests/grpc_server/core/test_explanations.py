"""An explanation is bulk work like any other: charged, in pieces, after interactive calls, bounded in number."""

from __future__ import annotations

import asyncio

import pytest

from grpc_server.core.engine import Engine
from grpc_server.core.explanations import Explained, Explanations
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.splitting import charge
from grpc_server.core.work import Lane
from grpc_server.errors import DeadlineError, ExplanationsFullError
from relevance_model import Bundle, Explainer, Pairs
from tests.support.gated_scorer import GatedScorer

QUERY, TITLE = "red canvas shoes", "Women's red canvas sneakers, size 39, with laces"
PAIR = Pairs.from_columns(["lamp"], ["Desk lamp"])


class Scene:
    """An engine whose model can be kept busy, and explanations by it."""

    def __init__(self, student: Bundle, max_at_once: int = 4) -> None:
        self.scorer = GatedScorer(student)
        self.engine = Engine(
            ModelRegistry(self.scorer),
            max_queued_tokens=1 << 20,
            batch_tokens=2_000,
            mixed_batch_tokens=500,
            score_cache_bytes=1 << 16,
        )
        self.explanations = Explanations(self.engine, max_at_once=max_at_once, max_cost=1536)
        self.engine.start()

    async def explain(self, title: str = TITLE, deadline: float | None = None) -> Explained:
        return await self.explanations.explain(
            QUERY, title, scorer=self.scorer, deadline=deadline, request_id="explained"
        )

    async def score(self, lane: Lane) -> object:
        return await self.engine.score(PAIR, scorer=self.scorer, lane=lane, deadline=None, request_id="scored")

    async def keep_busy(self) -> asyncio.Task[object]:
        """Keep the model busy with one row until the gate opens."""
        self.scorer.entered.clear()
        self.scorer.gate.clear()
        blocker = asyncio.create_task(self.score(Lane.BULK))
        await asyncio.to_thread(self.scorer.entered.wait)
        return blocker


async def until_queued(scene: Scene, tokens: int) -> None:
    while scene.engine.queue.tokens(Lane.BULK) != tokens:
        await asyncio.sleep(0)


async def test_it_is_charged_as_the_pairs_that_it_takes_and_interactive_calls_go_first(student: Bundle) -> None:
    scene = Scene(student)
    first = await scene.explain()
    blocker = await scene.keep_busy()
    ended: list[str] = []
    explained = asyncio.create_task(scene.explain())
    explained.add_done_callback(lambda _: ended.append("explained"))
    pairs = Explainer(scene.scorer).plan(QUERY, TITLE).pairs
    await until_queued(scene, charge(pairs, student.manifest).tokens)
    scored = asyncio.create_task(scene.score(Lane.INTERACTIVE))
    scored.add_done_callback(lambda _: ended.append("scored"))
    while not scene.engine.queue.tokens(Lane.INTERACTIVE):
        await asyncio.sleep(0)
    scene.scorer.gate.set()
    await asyncio.gather(blocker, explained, scored)
    assert ended == ["scored", "explained"]
    assert len(pairs) == first.explanation.pairs
    assert (await explained).explanation == first.explanation
    await scene.engine.drain()


async def test_explanations_over_the_bound_are_refused_and_one_that_is_cancelled_makes_room(student: Bundle) -> None:
    scene = Scene(student, max_at_once=1)
    blocker = await scene.keep_busy()
    explained = asyncio.create_task(scene.explain())
    while not scene.explanations.running:
        await asyncio.sleep(0)
    with pytest.raises(ExplanationsFullError, match="1 explanations are being computed") as refused:
        await scene.explain()
    assert refused.value.retry_after > 0
    explained.cancel()
    with pytest.raises(asyncio.CancelledError):
        await explained
    scene.scorer.gate.set()
    await blocker
    assert (await scene.explain()).explanation.label == 1
    assert scene.explanations.running == 0
    await scene.engine.drain()


async def test_one_whose_deadline_passed_in_the_queue_is_not_computed(student: Bundle) -> None:
    scene = Scene(student)
    await scene.explain()
    blocker = await scene.keep_busy()
    late = asyncio.create_task(scene.explain(deadline=0.0))
    while not scene.engine.queue.requests(Lane.BULK):
        await asyncio.sleep(0)
    scene.scorer.gate.set()
    with pytest.raises(DeadlineError):
        await late
    await blocker
    assert scene.explanations.running == 0
    await scene.engine.drain()


async def test_it_leaves_the_caches_to_callers(student: Bundle) -> None:
    scene = Scene(student)
    await scene.score(Lane.BULK)
    before = scene.scorer.cache_stats(), scene.engine.score_cache.entries(scene.scorer)
    await scene.explain()
    assert (scene.scorer.cache_stats(), scene.engine.score_cache.entries(scene.scorer)) == before
    await scene.engine.drain()
