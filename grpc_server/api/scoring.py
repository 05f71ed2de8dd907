"""From a call to the engine, for every protocol: its model, its lane and its deadline."""

from __future__ import annotations

from grpc_server.core.engine import Engine
from grpc_server.core.results import Result
from grpc_server.core.work import Lane
from grpc_server.transport.call import Context, call_of
from relevance_model import Pairs, RequestError

# Clients send this name; `grpc_client` has its own copy, since neither side imports the other.
PRIORITY = "x-priority"
MAX_INTERACTIVE_ROWS = 64
_LANES = {lane.value: lane for lane in Lane}


async def score(engine: Engine, pairs: Pairs, *, name: str, version: str, sha256: str = "", context: Context) -> Result:
    """Score `pairs` with the named model, in the lane and within the deadline of the call."""
    call = call_of(context)
    return await engine.score(
        pairs,
        scorer=engine.models.find(name, version, sha256),
        lane=choose_lane(call.value(PRIORITY), len(pairs)),
        deadline=call.time_remaining(),
        request_id=call.request_id,
        source=call.peer(),
    )


def choose_lane(requested: str | None, rows: int) -> Lane:
    """Return the lane that the caller requests or, without a request, the one for this number of rows.

    Raises
    ------
    RequestError
        If the requested lane does not exist.

    Examples
    --------
    >>> choose_lane(None, rows=1), choose_lane(None, rows=4096), choose_lane("bulk", rows=1)
    (<Lane.INTERACTIVE: 'interactive'>, <Lane.BULK: 'bulk'>, <Lane.BULK: 'bulk'>)
    """
    if requested is None:
        return Lane.INTERACTIVE if rows <= MAX_INTERACTIVE_ROWS else Lane.BULK
    lane = _LANES.get(requested)
    if lane is None:
        raise RequestError(PRIORITY, f"must be one of {', '.join(_LANES)}")
    return lane
