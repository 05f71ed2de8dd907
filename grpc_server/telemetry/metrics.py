"""Prometheus metrics of the service; `docs/metrics.md` says what each tells and which knob it tunes.

Counters and histograms are fed by the engine and the entrance. What has a state of its own (queue, cache, model) is
read from there when Prometheus asks, so that it cannot drift from the truth.
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
from grpc_server.core.queue import Dropped, Lane
from grpc_server.core.reload import BundleReloader
from grpc_server.transport.auth import TokenFile
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.status import COMMON_REASONS
from grpc_server.transport.tls import ReloadingCertificate
from qtr_runtime import logs

_CALL_LABELS = ("grpc_type", "grpc_service", "grpc_method")
# From a cached row on an idle server to the longest that a call may wait.
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = tuple(float(1 << power) for power in range(14))
_TOKENS = tuple(float(8 << power) for power in range(14))
_COLUMNS = ("query", "title")
_OUTCOMES = ("scored", "invalid", "failed", *(reason.value for reason in Dropped))


@dataclass(frozen=True, slots=True)
class ReadFiles:
    """What is read from files again while the server runs; `None` for what the settings do not ask for."""

    tokens: TokenFile | None = None
    certificate: ReloadingCertificate | None = None
    bundle: BundleReloader | None = None


class Metrics:
    """An observer that counts, in a registry of its own."""

    def __init__(self) -> None:
        # The time at which each series was made doubles their number and tells an operator nothing.
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
        self._queue = self._histogram("qtr_queue_seconds", "Time that a piece of work waited.", _SECONDS, "lane")
        self._tokenize = self._histogram("qtr_tokenize_seconds", "Tokenisation of a batch.", _SECONDS)
        self._infer = self._histogram("qtr_infer_seconds", "Forward passes of a batch.", _SECONDS)
        self._rows = self._counter("qtr_rows", "Rows that were taken in, by what became of them.", "outcome")
        self._hits = self._counter("qtr_text_cache_hits", "Texts found in the cache.", "column")
        self._misses = self._counter("qtr_text_cache_misses", "Texts encoded because they were not cached.", "column")
        self._score_hits = self._counter("qtr_score_cache_hits", "Pairs found in the score cache.")
        self._score_misses = self._counter("qtr_score_cache_misses", "Pairs looked for in the score cache in vain.")
        self._rejected = self._counter("qtr_rejected", "Requests that ended without an answer, by reason.", "reason")
        # A series that does not exist until its first event hides that event from a rate.
        self._waited = {lane.value: self._queue.labels(lane.value) for lane in Lane}
        self._texts = {column: (self._hits.labels(column), self._misses.labels(column)) for column in _COLUMNS}
        self._outcomes = {outcome: self._rows.labels(outcome) for outcome in _OUTCOMES}
        for reason in COMMON_REASONS:
            self._rejected.labels(reason)

    def watch(self, engine: Engine, files: ReadFiles) -> None:
        """Show the state of `engine`, the `files` and the log as well, as it is when asked."""
        self.registry.register(_EngineState(engine))
        self.registry.register(_ProcessState(files))

    def watch_backlog(self, backlog: Backlog) -> None:
        """Show the calls that gRPC has and the service has not seen, as they are when asked."""
        self.registry.register(_Unseen(backlog))

    def method_served(self, method: Method) -> CallStarted:
        """Count each call's start at once, and its end when it comes."""
        labels = (method.kind, method.service, method.name)
        # Looked up once and not in every call.
        begun, handling = self._started.labels(*labels), self._handling.labels(*labels)
        handled: dict[str, Counter] = {}
        for_scores = not method.service.startswith(GRPC_OWN)

        def started(_: Metadata) -> CallEnded:
            begun.inc()
            start = perf_counter()

            def ended(code: str, reason: str | None) -> None:
                handling.observe(perf_counter() - start)
                if code not in handled:
                    handled[code] = self._handled.labels(*labels, code)
                handled[code].inc()
                if reason and for_scores:
                    self._rejected.labels(reason).inc()

            return ended

        return started

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Do nothing: a request is seen in the queue, then in its batch."""

    def batch_scored(self, report: BatchStats) -> None:
        """Record the batch."""
        self._batch_rows.observe(report.rows)
        self._batch_tokens.observe(report.tokens)
        self._tokenize.observe(report.tokenize_seconds)
        self._infer.observe(report.infer_seconds)
        waited = self._waited[report.lane]
        for seconds in report.queue_seconds:
            waited.observe(seconds)
        self._outcomes["scored"].inc(report.rows - report.invalid_rows)
        self._outcomes["invalid"].inc(report.invalid_rows)
        for column, use in report.texts.items():
            hits, misses = self._texts[column]
            hits.inc(use.hits)
            misses.inc(use.misses)
        self._score_hits.inc(report.scores.hits)
        self._score_misses.inc(report.scores.misses)

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Count the rows."""
        self._outcomes[outcome].inc(rows)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


class _Unseen(Collector):
    """The calls that only gRPC knows of at the moment of asking."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        text = "Calls that gRPC took in and the service has not seen: they wait, were dropped, or their callers left."
        yield _gauge("qtr_unseen_calls", text, self._backlog.unseen())


class _EngineState(Collector):
    """What the engine holds at the moment of asking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._build = (metadata.version("qtr-relevance"), platform.python_version())

    def collect(self) -> Iterator[Metric]:
        queue = self._engine.queue
        yield _gauge("qtr_serving", "1 while new work is taken in, 0 while draining.", float(not queue.closed))
        yield _gauge("qtr_queue_limit_tokens", "Estimated tokens that may wait in a lane.", queue.max_tokens)
        tokens = GaugeMetricFamily("qtr_queue_tokens", "Estimated tokens that wait.", labels=["lane"])
        requests = GaugeMetricFamily("qtr_queue_requests", "Requests that wait with some rows.", labels=["lane"])
        for lane in Lane:
            tokens.add_metric([lane.value], queue.tokens(lane))
            requests.add_metric([lane.value], queue.requests(lane))
        yield tokens
        yield requests
        scorer = self._engine.models.current
        entries = GaugeMetricFamily("qtr_text_cache_entries", "Texts in the cache.", labels=["column"])
        capacity = GaugeMetricFamily("qtr_text_cache_capacity", "Texts that fit into the cache.", labels=["column"])
        for name, column in zip(_COLUMNS, (scorer.queries, scorer.titles), strict=True):
            entries.add_metric([name], len(column.cache))
            capacity.add_metric([name], column.cache.capacity)
        yield entries
        yield capacity
        scores = self._engine.score_cache
        yield _gauge("qtr_score_cache_entries", "Scores of the model that are kept.", scores.entries(scorer))
        yield _gauge("qtr_score_cache_capacity", "Scores of one model that fit.", scores.capacity)
        manifest = scorer.bundle.manifest
        model = GaugeMetricFamily(
            "qtr_model_info", "The model that answers by default.", labels=["name", "version", "sha256"]
        )
        model.add_metric([manifest.name, manifest.version, scorer.bundle.sha256], 1)
        yield model
        build = GaugeMetricFamily("qtr_build_info", "The program.", labels=["version", "python"])
        build.add_metric(self._build, 1)
        yield build


class _ProcessState(Collector):
    """What became of the files that are read while the server runs, and of the log."""

    def __init__(self, files: ReadFiles) -> None:
        self._files = files

    def collect(self) -> Iterator[Metric]:
        files = self._files
        if files.tokens is not None:
            yield _gauge("qtr_auth_tokens", "Tokens that open the service; 0 lets nobody call.", files.tokens.count())
        refused = GaugeMetricFamily(
            "qtr_file_refused", "1 while a file as it is now is not in use, or not wholly.", labels=["file"]
        )
        for name, file in (("token file", files.tokens), ("certificate", files.certificate), ("bundle", files.bundle)):
            if file is not None:
                refused.add_metric([name], float(bool(file.fault)))
        yield refused
        yield CounterMetricFamily(
            "qtr_log_lines_dropped", "Log lines that were lost because nobody read them.", value=logs.dropped()
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
