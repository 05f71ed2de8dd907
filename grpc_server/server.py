"""The server's life: load, warm up, listen, serve, drain, exit."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from grpc_server.api import open_inference
from grpc_server.api.health import HealthServicer
from grpc_server.api.relevance import RelevanceServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.core.engine import Engine, IncomingCalls
from grpc_server.core.explanations import Explanations
from grpc_server.core.observer import Observer
from grpc_server.core.registry import ModelRegistry, smoke_test
from grpc_server.core.reload import BundleReloader
from grpc_server.descriptors import fit_connections
from grpc_server.drain import drain, leave
from grpc_server.errors import StartupError
from grpc_server.listener import bind, build_transport
from grpc_server.settings import ServerSettings
from grpc_server.signals import Signals
from grpc_server.telemetry.metrics import ReadFiles
from grpc_server.telemetry.telemetry import Telemetry
from grpc_server.transport.admission import AdmissionController
from grpc_server.transport.wire import ValueBound
from qtr_runtime.parent_process import on_stdin_close
from relevance_model import Bundle, ModelError, Scorer, default_bundle_path
from relevance_stubs.inference import open_inference_pb2, open_inference_pb2_grpc
from relevance_stubs.relevance.v1 import relevance_pb2, relevance_pb2_grpc

log = logging.getLogger("grpc_server")

SERVICE = relevance_pb2.DESCRIPTOR.services_by_name["RelevanceService"].full_name
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
    transport = build_transport(settings)
    telemetry = Telemetry(settings, backlog=transport.backlog)
    engine, reloader = _load(settings, telemetry.observer, incoming_calls=transport.work.slots)
    # Until here a signal ends the process at once.
    signals.stop_with(loop, stop.set)
    engine.start()
    reloading = _reload_on_demand(reloader, signals, settings.watch_bundle_seconds)
    server = AdmissionController(
        grpc.aio.server(options=transport.channel_options),
        transport.authenticator,
        work=transport.work,
        checks=transport.checks,
        watches=transport.watches,
        observer=telemetry.observer,
        texts=_text_methods(settings.max_rows),
        backlog=transport.backlog,
    )
    health = HealthServicer((SERVICE, open_inference.SERVICE))
    _add_services(server, settings, engine, health)
    address = bind(server, settings.host, settings.port, transport)
    files = ReadFiles(tokens=transport.authenticator.tokens, certificate=transport.certificate, bundle=reloader)
    metrics_address = await telemetry.listen(engine, files, lambda: health.serving)
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
    await _wait_for_any(stop, engine.broken)
    reloading.cancel()
    drained = await drain(
        server,
        health,
        engine,
        transport.work,
        drain_seconds=settings.drain_seconds,
        lame_duck_seconds=settings.lame_duck_seconds,
    )
    server.rejections.flush()
    await telemetry.close()
    signals.ignore(loop)
    leave(drained)


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
    """Reload on SIGHUP and, with `watch_seconds`, when the bundle's folder changes; until the task is cancelled."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        # The event loop keeps only weak references to its tasks.
        task = loop.create_task(reloader.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    signals.reload_with(loop, reload)
    return loop.create_task(reloader.watch(watch_seconds) if watch_seconds else asyncio.sleep(0))


def _add_services(server: grpc.aio.Server, settings: ServerSettings, engine: Engine, health: HealthServicer) -> None:
    limits = RequestLimits(
        max_rows=settings.max_rows,
        max_message_bytes=settings.max_message_bytes,
        max_queued_tokens=settings.max_queued_tokens,
    )
    explanations = Explanations(engine, max_at_once=settings.max_explanations, max_cost=settings.max_explanation_pairs)
    relevance_pb2_grpc.add_RelevanceServiceServicer_to_server(RelevanceServicer(engine, explanations, limits), server)
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        open_inference.OpenInferenceServicer(engine, limits, health), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = (SERVICE, open_inference.SERVICE, _HEALTH, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), server
        )


def _text_methods(max_rows: int) -> dict[str, ValueBound]:
    """Return the methods whose messages hold texts, with the values of a message: four columns, and 1,024 more."""
    messages: dict[str, type[Message]] = {
        f"{SERVICE}/Score": relevance_pb2.ScoreRequest,
        f"{SERVICE}/ScoreBatch": relevance_pb2.ScoreBatchRequest,
        f"{SERVICE}/Explain": relevance_pb2.ExplainRequest,
        f"{open_inference.SERVICE}/ModelInfer": open_inference_pb2.ModelInferRequest,
    }
    return {
        method: ValueBound(message, column_values=max_rows, values=4 * max_rows + 1024)
        for method, message in messages.items()
    }


async def _wait_for_any(*events: asyncio.Event) -> None:
    """Wait until one of `events` is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
