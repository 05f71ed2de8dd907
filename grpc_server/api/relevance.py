"""`relevance.v1.RelevanceService`: a thin layer from messages to the engine and back."""

from __future__ import annotations

from grpc_server.api import relevance_messages
from grpc_server.api.relevance_messages import ModelAsked, RequestLimits
from grpc_server.api.scoring import score
from grpc_server.core.engine import Engine
from grpc_server.core.results import Answer
from grpc_server.transport.call import Context
from relevance_model import Pairs
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc


class RelevanceServicer(relevance_pb2_grpc.RelevanceServiceServicer):
    """Answers the contract from one engine."""

    def __init__(self, engine: Engine, limits: RequestLimits) -> None:
        self._engine = engine
        self._limits = limits

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Score one query against its titles."""
        pairs, model = (
            relevance_messages.pairs_of_score(request, self._limits),
            relevance_messages.asked_model(request.model),
        )
        # While it waits, a call holds the rows and not the message as well, in which there may be more than rows.
        del request
        return relevance_messages.score_response(pairs.titles, await self._score(pairs, model, context))

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, context: Context) -> pb.ScoreBatchResponse:
        """Score pairs in columns."""
        pairs, model = (
            relevance_messages.pairs_of_batch(request, self._limits),
            relevance_messages.asked_model(request.model),
        )
        del request
        answer = await self._score(pairs, model, context)
        return relevance_messages.batch_response(answer, self._engine.models.current.max_text_bytes)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model and the limits."""
        return relevance_messages.model_response(self._engine.models.current, self._limits)

    async def _score(self, pairs: Pairs, model: ModelAsked, context: Context) -> Answer:
        return await score(
            self._engine, pairs, name=model.name, version=model.version, sha256=model.sha256, context=context
        )
