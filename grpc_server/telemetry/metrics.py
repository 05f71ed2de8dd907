"""Prometheus metrics of the service; `docs/metrics.md` explains each and the setting that it helps to tune.

Counters and histograms are updated by events. State (queue, cache, model) is read from its owner at each scrape, so
that a gauge cannot differ from it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grpc_server.core.engine import Engine
from grpc_server.core.observer import GRPC_OWN, BatchStats, CallEnded, CallStarted, Metadata, Method
from grpc_server.core.reload import BundleReloader
from grpc_server.core.work import DropReason, Lane
from grpc_server.transport.auth import TokenFile
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.status import COMMON_REASONS
from grpc_server.transport.tls import ReloadingCertificate
from qtr_runtime import logs

_CALL_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# From a cached row on an idle server to a long wait in the queue.
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = tuple(float(1 << power) for power in range(14))
_TOKENS = tuple(float(8 << power) for power in range(14))
_COLUMNS = ("query", "title")
_OUTCOMES = ("scored", "row_error", "failed", *(reason.value for reason in DropReason))


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """Files that are reloaded while the server runs; `None` for those that the settings do not use."""

    tokens: TokenFile | None = None
    certificate: ReloadingCertificate | None = None
    bundle: BundleReloader | None = None


class Metrics:
    """An observer that updates metrics in a registry of its own."""

    def __init__(self) -> None:
        # `_created` series would double the number of series, and operators do not use them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._started = self._counter("grpc_server_started", "Calls that began.", *_CALL_LABELS)
        self._handled = self._counter("grpc_server_handled", "Calls that ended, by status.", *_CALL_LABELS, "grpc_code")
        self._handling = self._histogram(
            "grpc_server_handling_seconds", "Time from a call's start to its end.", _SECONDS, *_CALL_LABELS
        )
        self._batch_rows = self._histogram("qtr_batch_rows", "Rows of a batch.", _ROWS)
        self._batch_tokens = self._histogram("qtr_batch_tokens", "Estimated tokens of a batch.", _TOKENS)
        self._queue = self._histogram(
            "qtr_queue_seconds", "Time that a piece of work waited in the queue.", _SECONDS, "lane"
        )
        self._tokenize = self._histogram("qtr_tokenize_seconds", "Tokenisation of a batch.", _SECONDS)
        self._infer = self._histogram("qtr_infer_seconds", "Forward passes of a batch.", _SECONDS)
        self._rows = self._counter("qtr_rows", "Rows of accepted requests, by outcome.", "outcome")
        self._explanation_pairs = self._counter("qtr_explanation_pairs", "Rows that were scored for explanations.")
        self._hits = self._counter("qtr_text_cache_hits", "Texts found in the cache.", "column")
        self._misses = self._counter("qtr_text_cache_misses", "Texts not found in the cache, and encoded.", "column")
        self._score_hits = self._counter("qtr_score_cache_hits", "Pairs found in the score cache.")
        self._score_misses = self._counter("qtr_score_cache_misses", "Pairs not found in the score cache.")
        self._rejected = self._counter("qtr_rejected", "Requests that ended without an answer, by reason.", "reason")
        # `rate()` does not see the first event of a series that begins with it; so every series exists from the start.
        self._waited = {lane.value: self._queue.labels(lane.value) for lane in Lane}
        self._texts = {column: (self._hits.labels(column), self._misses.labels(column)) for column in _COLUMNS}
        self._outcomes = {outcome: self._rows.labels(outcome) for outcome in _OUTCOMES}
        for reason in COMMON_REASONS:
            self._rejected.labels(reason)

    def watch(self, engine: Engine, files: ReadFiles) -> None:
        """Add the state of `engine`, the `files` and the log at the time of each scrape."""
        self.registry.register(_EngineState(engine))
        self.registry.register(_ProcessState(files))

    def watch_backlog(self, backlog: Backlog) -> None:
        """Add the number of calls that wait in gRPC at the time of each scrape."""
        self.registry.register(_Unseen(backlog))

    def method_served(self, method: Method) -> CallStarted:
        """Count the start and the end of each call of the method."""
        labels = (method.kind, method.service, method.name)
        # Looked up once, not in every call.
        begun, handling = self._started.labels(*labels), self._handling.labels(*labels)
        handled: dict[str, Counter] = {}
        is_scoring = not method.service.startswith(GRPC_OWN)

        def started(_: Metadata) -> CallEnded:
            begun.inc()
            start = perf_counter()

            def ended(code: str, reason: str | None) -> None:
                handling.observe(perf_counter() - start)
                if code not in handled:
                    handled[code] = self._handled.labels(*labels, code)
                handled[code].inc()
                if reason and is_scoring:
                    self._rejected.labels(reason).inc()

            return ended

        return started

    def request_received(self, request_id: str, rows: int, lane: str) -> None:
        """Do nothing: the queue and its batch show a request."""

    def batch_scored(self, stats: BatchStats) -> None:
        """Record the batch."""
        self._batch_rows.observe(stats.rows)
        self._batch_tokens.observe(stats.tokens)
        self._tokenize.observe(stats.tokenize_seconds)
        self._infer.observe(stats.infer_seconds)
        waited = self._waited[stats.lane]
        for seconds in stats.queue_seconds:
            waited.observe(seconds)
        self._outcomes["scored"].inc(stats.rows - stats.error_rows)
        self._outcomes["row_error"].inc(stats.error_rows)
        if stats.explaining:
            self._explanation_pairs.inc(stats.rows)
        for column, use in stats.texts.items():
            hits, misses = self._texts[column]
            hits.inc(use.hits)
            misses.inc(use.misses)
        self._score_hits.inc(stats.scores.hits)
        self._score_misses.inc(stats.scores.misses)

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Count the rows."""
        self._outcomes[outcome].inc(rows)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


class _Unseen(Collector):
    """The calls that wait in gRPC at the time of a scrape."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        text = "Calls that began in gRPC and did not reach the service: queued, dropped by gRPC, or cancelled."
        yield _gauge("qtr_unseen_calls", text, self._backlog.unseen())


class _EngineState(Collector):
    """The state of the engine at the time of a scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._build = (metadata.version("qtr-relevance"), platform.python_version())

    def collect(self) -> Iterator[Metric]:
        queue = self._engine.queue
        yield _gauge("qtr_serving", "1 while new work is accepted, 0 while draining.", float(not queue.closed))
        yield _gauge("qtr_queue_limit_tokens", "Estimated tokens that may wait in a lane.", queue.max_tokens)
        tokens = GaugeMetricFamily("qtr_queue_tokens", "Estimated tokens that wait.", labels=["lane"])
        requests = GaugeMetricFamily("qtr_queue_requests", "Requests that wait.", labels=["lane"])
        for lane in Lane:
            tokens.add_metric([lane.value], queue.tokens(lane))
            requests.add_metric([lane.value], queue.requests(lane))
        yield tokens
        yield requests
        scorer = self._engine.models.current
        entries = GaugeMetricFamily("qtr_text_cache_entries", "Texts in the cache.", labels=["column"])
        capacity = GaugeMetricFamily("qtr_text_cache_capacity", "Texts that fit into the cache.", labels=["column"])
        for column, cache in scorer.cache_stats().items():
            entries.add_metric([column], cache.entries)
            capacity.add_metric([column], cache.capacity)
        yield entries
        yield capacity
        scores = self._engine.score_cache
        yield _gauge("qtr_score_cache_entries", "Scores in the cache of the current model.", scores.entries(scorer))
        yield _gauge("qtr_score_cache_capacity", "Scores of one model that fit into the cache.", scores.capacity)
        manifest = scorer.bundle.manifest
        model = GaugeMetricFamily("qtr_model_info", "The current model.", labels=["name", "version", "sha256"])
        model.add_metric([manifest.name, manifest.version, scorer.bundle.sha256], 1)
        yield model
        build = GaugeMetricFamily("qtr_build_info", "The program.", labels=["version", "python"])
        build.add_metric(self._build, 1)
        yield build


class _ProcessState(Collector):
    """The state of the reloaded files and of the log at the time of a scrape."""

    def __init__(self, files: ReadFiles) -> None:
        self._files = files

    def collect(self) -> Iterator[Metric]:
        files = self._files
        if files.tokens is not None:
            yield _gauge("qtr_auth_tokens", "Valid tokens; with 0 every call is refused.", files.tokens.count())
        refused = GaugeMetricFamily(
            "qtr_file_refused", "1 while the current file is not in use, or not all of it.", labels=["file"]
        )
        for name, file in (("token file", files.tokens), ("certificate", files.certificate), ("bundle", files.bundle)):
            if file is not None:
                refused.add_metric([name], float(bool(file.error)))
        yield refused
        yield CounterMetricFamily(
            "qtr_log_lines_dropped",
            "Log lines dropped because the reader of the log was too slow.",
            value=logs.dropped(),
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
