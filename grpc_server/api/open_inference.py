"""`inference.GRPCInferenceService`: the Open Inference Protocol, version 2, for KServe and Triton clients.

It uses the same engine, limits, lanes and statuses as `grpc_server.api.relevance`.
"""

from __future__ import annotations

from importlib import metadata

from grpc_server.api import open_inference_messages as messages
from grpc_server.api.health import HealthServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.api.scoring import score
from grpc_server.core.engine import Engine
from grpc_server.errors import ModelNotServedError
from grpc_server.transport.call import Context, call_of
from relevance_stubs.inference import open_inference_pb2 as pb
from relevance_stubs.inference import open_inference_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
SERVER_NAME = "qtr"


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves the protocol from one engine; readiness is that of `health`."""

    def __init__(self, engine: Engine, limits: RequestLimits, health: HealthServicer) -> None:
        self._engine = engine
        self._limits = limits
        self._health = health

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        """Return that the process is live."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        """Return whether the server accepts work."""
        return pb.ServerReadyResponse(ready=self._health.serving)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        """Return whether the server accepts work for the model; a model that is not served is not ready."""
        try:
            self._engine.models.find(request.name, request.version)
        except ModelNotServedError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._health.serving)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        """Return the name and version of the server."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=metadata.version("qtr-relevance"))

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        """Return the model's tensors."""
        manifest = self._engine.models.find(request.name, request.version).bundle.manifest
        return messages.model_metadata(manifest, self._engine.models.versions(manifest.name))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        """Score the rows of a request."""
        request_id, name, version = request.id, request.model_name, request.model_version
        call_of(context).message_id = request_id
        inference = messages.read_request(request, self._limits)
        # While the call waits, only the rows stay in memory: the message may hold more.
        del request
        scored = await score(self._engine, inference.pairs, name=name, version=version, context=context)
        return messages.write_response(request_id, inference, scored)
