"""The server's life: load, warm up, listen, serve, drain, exit."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from time import perf_counter

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from grpc_server import open_inference, transport
from grpc_server.config import ServerSettings
from grpc_server.engine import Doorstep, Engine
from grpc_server.entrance import Entrance
from grpc_server.errors import StartupError
from grpc_server.health import SERVING, HealthServicer
from grpc_server.messages import RequestLimits
from grpc_server.models import ServedModels, smoke_test
from grpc_server.observer import Observer
from grpc_server.reload import BundleReloader
from grpc_server.servicer import RelevanceServicer
from grpc_server.telemetry import Telemetry
from grpc_server.wire import ValueBound
from qtr.parentage import on_stdin_close
from relevance_model import Bundle, ModelError, Scorer, default_bundle_path
from relevance_stubs.inference import open_inference_pb2, open_inference_pb2_grpc
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
    backlog = transport.backlog(settings)
    telemetry = Telemetry(settings, backlog=backlog)
    work, probes = transport.rooms(settings)
    engine, reloader = _load(settings, telemetry.observer, doorstep=work.arrivals)
    engine.start()
    reloading = _reload_on_demand(reloader, settings.watch_bundle_seconds)
    server = grpc.aio.server(options=transport.channel_options(settings))
    entrance = Entrance(
        server,
        transport.callers(settings),
        work=work,
        probes=probes,
        observer=telemetry.observer,
        texts=_text_methods(settings),
        backlog=backlog,
    )
    health = HealthServicer()
    relevance_pb2_grpc.add_RelevanceServiceServicer_to_server(
        RelevanceServicer(engine, _request_limits(settings)), entrance.services
    )
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        open_inference.OpenInferenceServicer(engine, _request_limits(settings), health), entrance.services
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, entrance.services)
    if settings.reflection:
        names = (SERVICE, open_inference.SERVICE, _HEALTH, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), entrance.services
        )
    address = transport.bind(server, settings)
    metrics_address = await telemetry.listen(engine)
    await server.start()
    for name in ("", SERVICE, open_inference.SERVICE):
        await health.set(name, SERVING)
    if settings.exit_on_stdin_close:
        loop = asyncio.get_running_loop()
        on_stdin_close(lambda: loop.call_soon_threadsafe(stop.set))
    manifest = engine.models.current.bundle.manifest
    log.info(
        "serving",
        extra={
            "address": address,
            "metrics_address": metrics_address,
            "model": manifest.name,
            "version": manifest.version,
            "threads": settings.threads,
            "startup_seconds": round(perf_counter() - started, 3),
        },
    )
    await _first(stop, engine.broken)
    reloading.cancel()
    try:
        await _drain(server, health, engine, settings)
    finally:
        await telemetry.close()


def _load(settings: ServerSettings, observer: Observer, doorstep: Doorstep) -> tuple[Engine, BundleReloader]:
    path = settings.bundle or default_bundle_path()

    def make_scorer(bundle: Bundle) -> Scorer:
        return Scorer(
            bundle,
            threads=settings.threads,
            micro_batch=settings.micro_batch,
            cache_bytes=settings.cache_bytes,
            title_cache_share=settings.title_cache_share,
            max_text_bytes=settings.max_text_bytes,
        )

    try:
        scorer = make_scorer(Bundle.load(path))
        smoke_test(scorer)
    except ModelError as error:
        raise StartupError(str(error)) from None
    models = ServedModels(scorer)
    engine = Engine(
        models,
        max_queued_tokens=settings.max_queued_tokens,
        batch_tokens=settings.batch_tokens,
        mixed_batch_tokens=settings.mixed_batch_tokens,
        observer=observer,
        doorstep=doorstep,
        score_cache_bytes=settings.score_cache_bytes,
    )
    return engine, BundleReloader(path, models, make_scorer)


def _reload_on_demand(reloader: BundleReloader, watch_seconds: float) -> asyncio.Task[None]:
    """Reload on SIGHUP and, if asked for, when the bundle's folder changes; until the task is cancelled."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        # The loop itself keeps only weak references to its tasks.
        task = loop.create_task(reloader.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    return loop.create_task(reloader.watch(watch_seconds) if watch_seconds else asyncio.sleep(0))


def _request_limits(settings: ServerSettings) -> RequestLimits:
    return RequestLimits(
        max_rows=settings.max_rows,
        max_message_bytes=settings.max_message_bytes,
        max_queued_tokens=settings.max_queued_tokens,
    )


def _text_methods(settings: ServerSettings) -> dict[str, ValueBound]:
    """Return the methods whose messages hold texts, with what one may hold: four columns of rows, and a little more."""
    messages: dict[str, type[Message]] = {
        f"{SERVICE}/Score": relevance_pb2.ScoreRequest,
        f"{SERVICE}/ScoreBatch": relevance_pb2.ScoreBatchRequest,
        f"{open_inference.SERVICE}/ModelInfer": open_inference_pb2.ModelInferRequest,
    }
    rows = settings.max_rows
    return {
        method: ValueBound(message, column_values=rows, values=4 * rows + 1024) for method, message in messages.items()
    }


def _stop_on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of ``events`` is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


async def _drain(server: grpc.aio.Server, health: HealthServicer, engine: Engine, settings: ServerSettings) -> None:
    """Tell the balancers first, then refuse new work, then finish what was accepted."""
    drain_seconds = settings.drain_seconds
    log.info("draining")
    await health.enter_graceful_shutdown()
    try:
        async with asyncio.timeout(drain_seconds):
            if not engine.broken.is_set():
                await asyncio.sleep(min(settings.notice_seconds, drain_seconds / 2))
            await engine.drain()
            if engine.broken.is_set():
                # What it left undone will never be answered here; cut off, its callers ask another replica.
                await server.stop(0)
                raise StartupError("the engine broke down; the log has the cause")
            health.end_watches()
            await server.stop(drain_seconds)
    except TimeoutError:
        log.error("not drained in time; accepted calls are cut off", extra={"drain_seconds": drain_seconds})
        await server.stop(0)
        raise StartupError("not drained in time") from None
    log.info("stopped")
