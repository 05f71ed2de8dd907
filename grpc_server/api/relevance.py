"""`relevance.v1.RelevanceService`: reads requests, has the engine score them, writes responses."""

from __future__ import annotations

from grpc_server.api import relevance_messages as messages
from grpc_server.api.relevance_messages import RequestedModel, RequestLimits
from grpc_server.api.scoring import score
from grpc_server.core.engine import Engine
from grpc_server.core.explanations import Explanations
from grpc_server.core.results import Result
from grpc_server.transport.call import Context, call_of
from relevance_model import Pairs
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc


class RelevanceServicer(relevance_pb2_grpc.RelevanceServiceServicer):
    """Serves `relevance.v1` from one engine."""

    def __init__(self, engine: Engine, explanations: Explanations, limits: RequestLimits) -> None:
        self._engine = engine
        self._explanations = explanations
        self._limits = limits

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Score one query against its titles."""
        pairs, model = messages.pairs_of_score(request, self._limits), messages.requested_model(request.model)
        # While the call waits, only the rows stay in memory: the message may hold more.
        del request
        return messages.score_response(pairs.titles, await self._score(pairs, model, context))

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, context: Context) -> pb.ScoreBatchResponse:
        """Score pairs that are given in columns."""
        pairs, model = messages.pairs_of_batch(request, self._limits), messages.requested_model(request.model)
        del request
        result = await self._score(pairs, model, context)
        return messages.batch_response(result, self._engine.models.current.max_text_bytes)

    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        """Explain the score of one pair."""
        model, call = messages.requested_model(request.model), call_of(context)
        explained = await self._explanations.explain(
            request.query,
            request.title,
            scorer=self._engine.models.find(*model),
            deadline=call.time_remaining(),
            request_id=call.request_id,
        )
        return messages.explain_response(explained)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Return the model and the limits."""
        return messages.model_response(self._engine.models.current, self._limits)

    async def _score(self, pairs: Pairs, model: RequestedModel, context: Context) -> Result:
        return await score(
            self._engine, pairs, name=model.name, version=model.version, sha256=model.sha256, context=context
        )
