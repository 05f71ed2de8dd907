"""Calls with types: what gRPC's published stubs leave out of health checks, calls of raw bytes and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse


class Health:
    """`grpc.health.v1.Health` on a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        self._check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = stub.Check
        self._watch: grpc.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = stub.Watch

    def check(self, service: str = "", timeout_seconds: float | None = None) -> int:
        """Return the status of a service."""
        return self._check(HealthCheckRequest(service=service), timeout=timeout_seconds).status

    def watch(self, service: str = "", metadata: tuple[tuple[str, str], ...] = ()) -> Iterator[int]:
        """Return the status of a service now, and again whenever it changes."""
        answers = self._watch(HealthCheckRequest(service=service), metadata=metadata)
        return (answer.status for answer in answers)


def refused(call: Callable[[], object]) -> grpc.Call:
    """Make a call that must fail, and return what it ended with."""
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert isinstance(error.value, grpc.Call)
    return error.value


def unary(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(method)


def server_stream(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
    return channel.unary_stream(method)


def bidi_stream(channel: grpc.aio.Channel, method: str) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream(method)
