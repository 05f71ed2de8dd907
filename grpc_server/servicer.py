"""``relevance.v1.RelevanceService``: a thin layer from messages to the engine and back."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio

from grpc_server import messages
from grpc_server.engine import Engine
from grpc_server.errors import ModelNotServedError
from grpc_server.messages import RequestLimits
from grpc_server.status import to_status
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
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
            self._check_model(request.model)
            pairs = messages.pairs_of_score(request, self._limits)
            scored = await self._engine.score(pairs, deadline=context.time_remaining(), request_id=request_id)
            return messages.score_response(request, scored, self._engine.scorer.bundle)

        return await _answer("Score", answer, context)

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, context: Context) -> pb.ScoreBatchResponse:
        """Score pairs in columns."""

        async def answer(request_id: str) -> pb.ScoreBatchResponse:
            self._check_model(request.model)
            pairs = messages.pairs_of_batch(request, self._limits)
            scored = await self._engine.score(pairs, deadline=context.time_remaining(), request_id=request_id)
            return messages.batch_response(scored, self._engine.scorer.bundle)

        return await _answer("ScoreBatch", answer, context)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model and the limits."""
        return messages.model_response(self._engine.scorer, self._limits)

    def _check_model(self, wanted: pb.ModelVersion) -> None:
        served = self._engine.scorer.bundle.manifest
        if wanted.name not in {"", served.name} or wanted.version not in {"", served.version}:
            raise ModelNotServedError(
                f"model {wanted.name or served.name} {wanted.version} is not served here; "
                f"served is {served.name} {served.version}".replace("  ", " ")
            )


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


def _request_id(context: Context) -> str:
    """Return the caller's request id, or one of our own; whatever it sends, a log line stays a line."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and value.isprintable():
            return value[:_MAX_REQUEST_ID]
    return uuid.uuid4().hex
