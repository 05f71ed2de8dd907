"""A plain `grpc.aio` server that scores one call after the other on its event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from benchmarks.others.model import Model, port
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc


class Servicer(relevance_pb2_grpc.RelevanceServiceServicer):
    """The methods that the benchmark calls."""

    def __init__(self) -> None:
        self._model = Model()

    async def Score(self, request: pb.ScoreRequest, _: Any) -> pb.ScoreResponse:  # noqa: N802
        """Score the titles of one query."""
        titles = list(request.titles)
        [answer] = self._model.answer([{"queries": [request.query] * len(titles), "titles": titles}])
        scored = zip(titles, answer["scores"], strict=True)
        return pb.ScoreResponse(results=[pb.TitleScore(title=title, score=score) for title, score in scored])

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, _: Any) -> pb.ScoreBatchResponse:  # noqa: N802
        """Score rows."""
        [answer] = self._model.answer([{"queries": list(request.queries), "titles": list(request.titles)}])
        return pb.ScoreBatchResponse(scores=answer["scores"])

    async def GetModel(self, request: pb.GetModelRequest, _: Any) -> pb.GetModelResponse:  # noqa: ARG002, N802
        """Return an empty answer."""
        return pb.GetModelResponse()

    async def Explain(self, request: pb.ExplainRequest, _: Any) -> pb.ExplainResponse:  # noqa: ARG002, N802
        """Return an empty answer."""
        return pb.ExplainResponse()


async def serve() -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    relevance_pb2_grpc.add_RelevanceServiceServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port()}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
