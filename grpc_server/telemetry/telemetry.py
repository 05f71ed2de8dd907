"""The observers of a server: metrics according to the settings, traces according to the environment."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from grpc_server.core.engine import Engine
from grpc_server.core.observer import Observer, Observers
from grpc_server.settings import ServerSettings
from grpc_server.telemetry.http_endpoint import HttpEndpoint
from grpc_server.telemetry.metrics import Metrics, ReadFiles
from grpc_server.transport.backlog import Backlog
from qtr_runtime.daemon_thread import on_daemon_thread

if TYPE_CHECKING:
    from grpc_server.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# An unreachable collector must not block the end of a drained server.
_FLUSH_SECONDS = 3.0


class Telemetry:
    """The observers of one server, and the endpoint that serves the metrics and HTTP probes.

    Attributes
    ----------
    observer
        For the engine and admission control.
    """

    def __init__(
        self, settings: ServerSettings, environ: Mapping[str, str] = os.environ, *, backlog: Backlog | None = None
    ) -> None:
        self._settings = settings
        self._backlog = backlog
        self._metrics = Metrics() if settings.metrics else None
        self._endpoint: HttpEndpoint | None = None
        self._tracing = _tracing(environ)
        observers: list[Observer | None] = [backlog, self._metrics, self._tracing]
        self.observer: Observer = Observers(*filter(None, observers))

    async def listen(self, engine: Engine, files: ReadFiles, is_ready: Callable[[], bool]) -> str | None:
        """Serve the metrics, including the state of `engine` and `files`, and HTTP probes; return the address.

        Returns `None` if the settings disable metrics.

        Raises
        ------
        StartupError
            If the address cannot be bound.
        """
        if self._metrics is None:
            return None
        self._metrics.watch(engine, files)
        if self._backlog is not None:
            self._metrics.watch_backlog(self._backlog)
        self._endpoint = HttpEndpoint(self._metrics.registry, is_ready)
        return await self._endpoint.listen(
            self._settings.metrics_host or self._settings.host, self._settings.metrics_port
        )

    async def close(self) -> None:
        """Send the last spans and stop listening."""
        if self._tracing is not None:
            try:
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await on_daemon_thread("flush-traces", self._tracing.close)
            except TimeoutError:
                log.warning("the last spans were not sent in time", extra={"seconds": _FLUSH_SECONDS})
        if self._endpoint is not None:
            await self._endpoint.close()


def _tracing(environ: Mapping[str, str]) -> Tracing | None:
    """Return tracing to the collector that the environment names; without a usable one, log why and return `None`."""
    if not traces_requested(environ):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "grpc")
    if protocol != "grpc":
        log.warning("no traces: only OTLP over gRPC is supported", extra={"protocol": protocol})
        return None
    try:
        from grpc_server.telemetry.tracing import Tracing
    except ImportError:
        log.warning("no traces: OTEL_… variables request them, but the extra qtr-relevance[otel] is not installed")
        return None
    return Tracing.to_collector()


def traces_requested(environ: Mapping[str, str]) -> bool:
    """Return whether the standard `OTEL_…` variables request traces over a supported exporter."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get(_EXPORTER, "").strip().lower()
    if exporter not in {"", "none", "otlp"}:
        log.warning("no traces: only the exporter otlp is supported", extra={"exporter": exporter})
        return False
    return exporter == "otlp" or (not exporter and any(environ.get(name) for name in _ENDPOINTS))
