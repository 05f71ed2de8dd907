"""From a call to the engine, whichever protocol it speaks: the model, the lane and the deadline that it asks for."""

from __future__ import annotations

from grpc_server.core.engine import Engine
from grpc_server.core.queue import Lane
from grpc_server.core.results import Answer
from grpc_server.transport.call import Context, call_of
from relevance_model import Pairs, RequestError

PRIORITY = "x-priority"
MOST_INTERACTIVE_ROWS = 64
_LANES = {lane.value: lane for lane in Lane}


async def score(engine: Engine, pairs: Pairs, *, name: str, version: str, sha256: str = "", context: Context) -> Answer:
    """Have `engine` score `pairs` with the model asked for, in the lane and within the deadline of the call."""
    call = call_of(context)
    return await engine.score(
        pairs,
        scorer=engine.models.find(name, version, sha256),
        lane=choose_lane(call.value(PRIORITY), len(pairs)),
        deadline=call.time_remaining(),
        request_id=call.request_id,
    )


def choose_lane(asked: str | None, rows: int) -> Lane:
    """Return the lane that the caller asks for or, if it asks for none, the one that fits the request's size.

    Raises
    ------
    RequestError
        If it asks for a lane that does not exist.
    """
    if asked is None:
        return Lane.INTERACTIVE if rows <= MOST_INTERACTIVE_ROWS else Lane.BULK
    lane = _LANES.get(asked)
    if lane is None:
        raise RequestError(PRIORITY, f"must be one of {', '.join(_LANES)}")
    return lane
