"""The memory budget and the slots for receiving messages, without gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from grpc_server.errors import DeadlineError, UnavailableError
from grpc_server.transport.limits import MemoryBudget, ReceiveSlots

LONG = 3600.0


def begin(coroutine: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
    return asyncio.get_running_loop().create_task(coroutine)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Senders:
    """Messages that arrive when the test sends them."""

    def __init__(self, slots: ReceiveSlots) -> None:
        self._slots = slots
        self._messages: dict[str, asyncio.Future[str]] = {}
        self.reading: list[str] = []

    def start(self, name: str) -> asyncio.Task[str]:
        self._messages[name] = asyncio.get_running_loop().create_future()

        async def read() -> str:
            self.reading.append(name)
            return await self._messages[name]

        return begin(self._slots.receive(read))

    def send(self, name: str) -> None:
        self._messages[name].set_result(name)


def test_a_budget_refuses_what_does_not_fit_and_has_room_again() -> None:
    budget = MemoryBudget(100)
    held = budget.take(60)
    with pytest.raises(UnavailableError, match="calls hold 60 bytes and 41 more do not fit"):
        budget.take(41)
    held += budget.take(40)
    assert budget.taken == held == 100
    budget.give_back(held)
    assert budget.taken == 0


async def test_a_freed_slot_goes_to_the_oldest_waiter() -> None:
    senders = Senders(ReceiveSlots(1, LONG, patience=LONG))
    tasks = {name: senders.start(name) for name in "abc"}
    for name in "abc":
        await settle()
        assert senders.reading[-1] == name
        senders.send(name)
        assert await tasks[name] == name


async def test_the_more_messages_wait_the_sooner_one_that_does_not_come_is_cancelled() -> None:
    senders = Senders(ReceiveSlots(1, LONG, patience=LONG, max_waiting=10_000))
    slow = senders.start("slow")
    await settle()
    waiting = [senders.start(str(number)) for number in range(10_000)]
    with pytest.raises(DeadlineError):
        await slow
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_message_that_does_not_come_is_cancelled_for_one_that_waits() -> None:
    senders = Senders(ReceiveSlots(2, LONG, patience=0.05))
    slow, other = senders.start("slow"), senders.start("other")
    await settle()
    waiting = senders.start("waiting")
    with pytest.raises(DeadlineError):
        await slow
    senders.send("waiting")
    senders.send("other")
    assert [await waiting, await other] == ["waiting", "other"]


async def test_a_message_that_does_not_come_keeps_its_slot_if_no_other_waits() -> None:
    senders = Senders(ReceiveSlots(1, 0.2, patience=0.01))
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineError):
        await senders.start("slow")
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_the_wait_for_a_slot_is_bounded_in_time_and_number() -> None:
    senders = Senders(ReceiveSlots(1, 0.2, patience=LONG, max_waiting=1))
    senders.start("slow")
    await settle()
    waiting = senders.start("waiting")
    await settle()
    with pytest.raises(UnavailableError):
        await senders.start("too many")
    with pytest.raises(DeadlineError):
        await waiting


async def test_cancelled_calls_free_their_slot_and_their_turn() -> None:
    senders = Senders(ReceiveSlots(1, LONG, patience=LONG))
    reading, waiting, last = (senders.start(name) for name in "abc")
    await settle()
    last.cancel()
    await settle()
    reading.cancel()
    await settle()
    assert senders.reading == ["a", "b"]
    senders.send("b")
    assert await waiting == "b"
    again = senders.start("d")
    await settle()
    senders.send("d")
    assert await again == "d"
