"""The server's life: load, warm up, listen, serve, drain, exit."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from time import perf_counter

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from grpc_server import listener
from grpc_server.api import open_inference
from grpc_server.api.health import HealthServicer
from grpc_server.api.relevance import RelevanceServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.core.engine import Engine, IncomingCalls
from grpc_server.core.observer import Observer
from grpc_server.core.registry import ModelRegistry, smoke_test
from grpc_server.core.reload import BundleReloader
from grpc_server.descriptors import fit_connections
from grpc_server.errors import StartupError
from grpc_server.settings import ServerSettings
from grpc_server.signals import Signals
from grpc_server.telemetry.metrics import ReadFiles
from grpc_server.telemetry.telemetry import Telemetry
from grpc_server.transport.admission import AdmissionController, AdmissionLimits
from grpc_server.transport.wire import ValueBound
from qtr_runtime.parent_process import on_stdin_close
from relevance_model import Bundle, ModelError, Scorer, default_bundle_path
from relevance_stubs.inference import open_inference_pb2, open_inference_pb2_grpc
from relevance_stubs.relevance.v1 import relevance_pb2, relevance_pb2_grpc

log = logging.getLogger("grpc_server")

SERVICE = relevance_pb2.DESCRIPTOR.services_by_name["RelevanceService"].full_name
# The last part of a drain's time, at most a fifth of it, kept for cutting off those who are still connected.
_CUT_SECONDS = 1.0
# What peers have for closing their connections once the last answer was sent; an honest one takes a round trip.
_PARTING_SECONDS = 1.0
_NEVER_SECONDS = 1e9
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


async def serve(settings: ServerSettings, signals: Signals) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises
    ------
    StartupError
        If the bundle does not load or the address cannot be bound.
    """
    started = perf_counter()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    settings = fit_connections(settings)
    backlog = listener.backlog(settings)
    telemetry = Telemetry(settings, backlog=backlog)
    rooms = listener.rooms(settings)
    engine, reloader = _load(settings, telemetry.observer, incoming_calls=rooms.work.arrivals)
    # Until here a signal ends the process at once.
    signals.stop_with(loop, stop.set)
    engine.start()
    reloading = _reload_on_demand(reloader, signals, settings.watch_bundle_seconds)
    server = grpc.aio.server(options=listener.channel_options(settings))
    callers = listener.callers(settings)
    entrance = AdmissionController(
        server,
        callers,
        work=rooms.work,
        checks=rooms.checks,
        watches=rooms.watches,
        observer=telemetry.observer,
        texts=_text_methods(settings),
        backlog=backlog,
    )
    health = HealthServicer((SERVICE, open_inference.SERVICE))
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
    certificate = listener.certificate(settings)
    address = listener.bind(server, settings, certificate)
    files = ReadFiles(tokens=callers.tokens, certificate=certificate, bundle=reloader)
    metrics_address = await telemetry.listen(engine, files)
    await server.start()
    health.set_serving(True)
    if settings.exit_on_stdin_close:
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
    drained = await _drain(server, health, engine, rooms.work, settings)
    entrance.refusals.tell()
    await telemetry.close()
    signals.ignore(loop)
    _leave(drained)


def _load(settings: ServerSettings, observer: Observer, incoming_calls: IncomingCalls) -> tuple[Engine, BundleReloader]:
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
    models = ModelRegistry(scorer)
    engine = Engine(
        models,
        max_queued_tokens=settings.max_queued_tokens,
        batch_tokens=settings.batch_tokens,
        mixed_batch_tokens=settings.mixed_batch_tokens,
        observer=observer,
        incoming_calls=incoming_calls,
        score_cache_bytes=settings.score_cache_bytes,
    )
    return engine, BundleReloader(path, models, make_scorer)


def _reload_on_demand(reloader: BundleReloader, signals: Signals, watch_seconds: float) -> asyncio.Task[None]:
    """Reload on SIGHUP and, if asked for, when the bundle's folder changes; until the task is cancelled."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        # The loop itself keeps only weak references to its tasks.
        task = loop.create_task(reloader.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    signals.reload_with(loop, reload)
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


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of `events` is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


@dataclass(frozen=True, slots=True)
class _Drained:
    """How a drain ended.

    Attributes
    ----------
    failure
        Why accepted work was not finished; empty if it was.
    closed
        Whether gRPC could close every connection.
    """

    failure: str
    closed: bool


async def _drain(
    server: grpc.aio.Server, health: HealthServicer, engine: Engine, work: AdmissionLimits, settings: ServerSettings
) -> _Drained:
    """Tell the balancers first, then refuse new work, then finish what was accepted.

    All of it lies within the time for it, whatever peers do: nothing is awaited outside the limit, and its last part is
    kept for cutting off those who are still connected.
    """
    seconds = settings.drain_seconds
    cut_seconds = min(_CUT_SECONDS, seconds / 5)
    log.info("draining")
    health.set_serving(False)
    drained = False
    try:
        async with asyncio.timeout(seconds - cut_seconds):
            if not engine.broken.is_set():
                await asyncio.sleep(min(settings.lame_duck_seconds, seconds / 2))
            await engine.drain()
            drained = not engine.broken.is_set()
            if drained:
                health.end_watches()
                work.arrivals.close()
                await _part(server, work)
    except TimeoutError:
        if drained:
            log.warning("answers that were not taken in time are cut off", extra={"drain_seconds": seconds})
        else:
            log.error("not drained in time; accepted calls are cut off", extra={"drain_seconds": seconds})
    # Not cancelled when the time is over: gRPC would find its own future cancelled.
    closed, _ = await asyncio.wait({asyncio.ensure_future(server.stop(0))}, timeout=cut_seconds)
    if engine.broken.is_set():
        # What it left undone will never be answered here; cut off, its callers ask another replica.
        return _Drained("the engine broke down; the log has the cause", closed=bool(closed))
    return _Drained("" if drained else "not drained in time", closed=bool(closed))


def _leave(drained: _Drained) -> None:
    """Tell how it ended, and end the process at once if gRPC will not let it end.

    gRPC keeps a connection whose peer has stopped to read in the middle of an answer, and waits for it without limit
    wherever its objects are freed.

    Raises
    ------
    StartupError
        If accepted work was not finished.
    """
    if not drained.closed:
        log.warning("a connection is left behind; its peer reads nothing, so that it cannot be closed")
        if drained.failure:
            log.error(drained.failure)
        logging.shutdown()
        os._exit(1 if drained.failure else 0)
    if drained.failure:
        raise StartupError(drained.failure)
    log.info("stopped")


async def _part(server: grpc.aio.Server, work: AdmissionLimits) -> None:
    """Return when every answer was sent, and the connections were closed or had a moment for it."""
    stopping = asyncio.ensure_future(server.stop(_NEVER_SECONDS))
    answered = asyncio.ensure_future(work.budget.empty())
    try:
        await asyncio.wait({stopping, answered}, return_when=asyncio.FIRST_COMPLETED)
        # A peer that never says anything would otherwise keep the server for as long as it likes.
        await asyncio.wait({stopping}, timeout=_PARTING_SECONDS)
    finally:
        stopping.cancel()
        answered.cancel()
