"""What every call shares, whichever protocol it speaks: a request id, a lane, a deadline, and a status if it fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc.aio

from grpc_server.engine import Answer, Engine
from grpc_server.queue import Lane
from grpc_server.status import to_status
from relevance_model import Pairs, RequestError

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
PRIORITY = "x-priority"
MOST_INTERACTIVE_ROWS = 64
_MAX_REQUEST_ID = 128

Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[object, object]


async def answer_call(
    method: str, answer: Callable[[str], Awaitable[Response]], context: Context, *, message_id: str = ""
) -> Response:
    """Run ``answer`` with the call's request id, turning what it raises into a status.

    Parameters
    ----------
    method
        For the log.
    answer
        Makes the response.
    context
        The call.
    message_id
        The id inside the message, if the protocol has one; it names the call unless the metadata does.
    """
    call_id = request_id(context, message_id)
    try:
        return await answer(call_id)
    except Exception as error:
        code, text, trailing = to_status(error, call_id)
        log.info("request refused", extra={"method": method, "code": code.name, "request_id": call_id})
        await context.abort(code, text, trailing)
        raise AssertionError("abort returned") from error


async def score(engine: Engine, pairs: Pairs, *, name: str, version: str, context: Context, request_id: str) -> Answer:
    """Have ``engine`` score ``pairs`` with the model asked for, in the lane and within the deadline of the call."""
    return await engine.score(
        pairs,
        scorer=engine.models.find(name, version),
        lane=choose_lane(metadata_value(context, PRIORITY), len(pairs)),
        deadline=context.time_remaining(),
        request_id=request_id,
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
    try:
        return Lane(asked)
    except ValueError:
        raise RequestError(PRIORITY, f"must be one of {', '.join(lane.value for lane in Lane)}") from None


def metadata_value(context: Context, key: str) -> str | None:
    """Return the call's first text metadata value of that name."""
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return None


def request_id(context: Context, message_id: str = "") -> str:
    """Return the caller's request id, or one of our own; whatever it sends, a log line stays a line."""
    for asked in (metadata_value(context, REQUEST_ID), message_id):
        if asked and asked.isprintable():
            return asked[:_MAX_REQUEST_ID]
    return uuid.uuid4().hex
