"""``relevance.v1.RelevanceService``: a thin layer from messages to the engine and back."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio

from grpc_server import messages
from grpc_server.engine import Answer, Engine
from grpc_server.messages import RequestLimits
from grpc_server.queue import Lane
from grpc_server.status import to_status
from relevance_model import Pairs, RequestError
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
PRIORITY = "x-priority"
MOST_INTERACTIVE_ROWS = 64
_MAX_REQUEST_ID = 128

Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[object, object]


class RelevanceServicer(relevance_pb2_grpc.RelevanceServiceServicer):
    """Answers the contract from one engine."""

    def __init__(self, engine: Engine, limits: RequestLimits) -> None:
        self._engine = engine
        self._limits = limits

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Score one query against its titles."""

        async def answer(request_id: str) -> pb.ScoreResponse:
            pairs = messages.pairs_of_score(request, self._limits)
            return messages.score_response(request, await self._score(pairs, request.model, context, request_id))

        return await _answer("Score", answer, context)

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, context: Context) -> pb.ScoreBatchResponse:
        """Score pairs in columns."""

        async def answer(request_id: str) -> pb.ScoreBatchResponse:
            pairs = messages.pairs_of_batch(request, self._limits)
            return messages.batch_response(await self._score(pairs, request.model, context, request_id))

        return await _answer("ScoreBatch", answer, context)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model and the limits."""
        return messages.model_response(self._engine.models.current, self._limits)

    async def _score(self, pairs: Pairs, model: pb.ModelVersion, context: Context, request_id: str) -> Answer:
        return await self._engine.score(
            pairs,
            scorer=self._engine.models.find(model.name, model.version),
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


async def _answer(method: str, answer: Callable[[str], Awaitable[Response]], context: Context) -> Response:
    """Run ``answer``, turning what it raises into a status."""
    request_id = _request_id(context)
    try:
        return await answer(request_id)
    except Exception as error:
        code, text, trailing = to_status(error, request_id)
        log.info("request refused", extra={"method": method, "code": code.name, "request_id": request_id})
        await context.abort(code, text, trailing)
        raise AssertionError("abort returned") from error


def metadata_value(context: Context, key: str) -> str | None:
    """Return the call's first text metadata value of that name."""
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return None


def _request_id(context: Context) -> str:
    """Return the caller's request id, or one of our own; whatever it sends, a log line stays a line."""
    asked = metadata_value(context, REQUEST_ID)
    if asked and asked.isprintable():
        return asked[:_MAX_REQUEST_ID]
    return uuid.uuid4().hex
