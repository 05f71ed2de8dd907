"""A piece of work: rows that wait for the model, with everything that the queue and the engine need to handle them."""

from __future__ import annotations

from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum

from relevance_model import Pairs


class Lane(Enum):
    """The queue's two priorities."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class DropReason(Enum):
    """Why work left the queue without being scored."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(slots=True, eq=False)
class Work:
    """Rows that wait for the model: a request, or a part of one.

    Attributes
    ----------
    pairs
        The rows.
    tokens
        Estimated tokens that the model must read for them.
    lane
        The lane that they wait in.
    group
        Only work of one group (a model version) shares a batch.
    deadline
        When the answer stops being of use, on the queue's clock; `None` if never.
    source
        Where the work comes from. Sources are served in turn, and each may hold a part of its lane only; "" is a source
        that may hold all.
    request_id
        For the log.
    context
        The context of the call, for observers.
    cancelled
        Set by the caller when it no longer waits.
    last
        Whether this is the last part of its request; set by the queue.
    enqueued_at, taken_at
        When the work entered the queue and when its batch was formed, on the queue's clock.
    """

    pairs: Pairs
    tokens: int
    lane: Lane = Lane.BULK
    group: object = None
    deadline: float | None = None
    source: str = ""
    request_id: str = ""
    context: Context = field(default_factory=Context)
    cancelled: bool = False
    last: bool = field(default=False, init=False)
    enqueued_at: float = field(default=0.0, init=False)
    taken_at: float = field(default=0.0, init=False)

    @property
    def queue_seconds(self) -> float:
        """Return how long the work waited; valid once it was taken."""
        return self.taken_at - self.enqueued_at
