"""The server's life: load, warm up, listen, serve, drain, exit."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable
from time import perf_counter

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from grpc_server.config import ServerSettings
from grpc_server.engine import Engine
from grpc_server.errors import StartupError
from grpc_server.health import SERVING, HealthServicer
from grpc_server.messages import RequestLimits
from grpc_server.models import ServedModels
from grpc_server.servicer import RelevanceServicer
from relevance_model import Bundle, ModelError, Scorer, default_bundle_path
from relevance_stubs.relevance.v1 import relevance_pb2, relevance_pb2_grpc

log = logging.getLogger("grpc_server")

SERVICE = relevance_pb2.DESCRIPTOR.services_by_name["RelevanceService"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


async def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises
    ------
    StartupError
        If the bundle does not load or the address cannot be bound.
    """
    started = perf_counter()
    stop = asyncio.Event()
    _stop_on_signals(stop.set)
    engine = _load(settings)
    engine.start()
    server = grpc.aio.server(options=_channel_options(settings))
    health = HealthServicer()
    relevance_pb2_grpc.add_RelevanceServiceServicer_to_server(
        RelevanceServicer(engine, _request_limits(settings)), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        reflection.enable_server_reflection((SERVICE, _HEALTH, reflection.SERVICE_NAME), server)
    address = _bind(server, settings)
    await server.start()
    for name in ("", SERVICE):
        await health.set(name, SERVING)
    if settings.exit_on_stdin_close:
        _stop_on_stdin_close(stop.set)
    manifest = engine.models.current.bundle.manifest
    log.info(
        "serving",
        extra={
            "address": address,
            "model": manifest.name,
            "version": manifest.version,
            "threads": settings.threads,
            "startup_seconds": round(perf_counter() - started, 3),
        },
    )
    await stop.wait()
    await _drain(server, health, engine, settings.drain_seconds)


def _load(settings: ServerSettings) -> Engine:
    try:
        scorer = Scorer(
            Bundle.load(settings.bundle or default_bundle_path()),
            threads=settings.threads,
            micro_batch=settings.micro_batch,
            cache_bytes=settings.cache_bytes,
            max_text_bytes=settings.max_text_bytes,
        )
    except ModelError as error:
        raise StartupError(str(error)) from None
    return Engine(
        ServedModels(scorer), max_queued_tokens=settings.max_queued_tokens, batch_tokens=settings.batch_tokens
    )


def _request_limits(settings: ServerSettings) -> RequestLimits:
    return RequestLimits(
        max_rows=settings.max_rows,
        max_message_bytes=settings.max_message_bytes,
        max_queued_tokens=settings.max_queued_tokens,
    )


def _channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would each get some of the connections; the second must fail instead.
        ("grpc.so_reuseport", 0),
        # Callers that keep a quiet connection alive ping once a minute; gRPC's own limit would cut them off.
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bind(server: grpc.aio.Server, settings: ServerSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.port}")
    except RuntimeError:
        raise StartupError(
            f"cannot listen on {host}:{settings.port}: the address is not this machine's or the port is taken"
        ) from None
    return f"{host}:{port}"


def _stop_on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)


def _stop_on_stdin_close(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


async def _drain(server: grpc.aio.Server, health: HealthServicer, engine: Engine, drain_seconds: float) -> None:
    """Tell the balancers first, then refuse new work, then finish what was accepted."""
    log.info("draining")
    await health.enter_graceful_shutdown()
    try:
        async with asyncio.timeout(drain_seconds):
            await engine.drain()
            health.end_watches()
            await server.stop(drain_seconds)
    except TimeoutError:
        log.error("not drained in time; accepted calls are cut off", extra={"drain_seconds": drain_seconds})
        await server.stop(0)
        raise StartupError("not drained in time") from None
    log.info("stopped")
