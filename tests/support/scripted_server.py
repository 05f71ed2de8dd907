"""A small real gRPC server that misbehaves by a script: the process, and how tests start it and read what it saw.

Run as a process it prints one JSON line when it serves, and one for every call.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc as pb_grpc

LABELS = ("irrelevant", "relevant")
INVALID_ARGUMENT = pb.ROW_ERROR_CODE_INVALID_ARGUMENT


def score_of(query: str, title: str) -> float:
    """A property of the pair, as scores are: exact in float32."""
    return (zlib.crc32(f"{query}\t{title}".encode()) % 1024) / 1024


class ScriptedServer:
    """Start on entry; the script is a list of steps, one for each ScoreBatch call, after which it behaves.

    A step may have `status`, `details`, `pushback_ms`, `delay_seconds`, `drop_scores`, `score` or `model`.
    Settings are `port`, `limit_rows`, `too_large_above`, `version`, `delay_seconds` (of every call), `poison`:
    titles, each with the status that a call with it ends with, or "DIE"; and `text_limits`: bytes of one text as the
    first call of GetModel announces them, the second, …; the last is what holds.
    """

    def __init__(self, script: list[dict[str, Any]] | None = None, **settings: Any) -> None:
        self._settings = {"script": script or [], **settings}
        self._calls: queue.Queue[dict[str, Any]] = queue.Queue()
        self.address = ""

    def __enter__(self) -> ScriptedServer:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scripted_server", json.dumps(self._settings)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._calls.put(json.loads(line))

    def next_call(self, method: str = "ScoreBatch") -> dict[str, Any]:
        """Wait for the next call of `method` that the server saw."""
        while True:
            call = self._calls.get()
            if call["method"] == method:
                return call

    def finished_calls(self) -> list[dict[str, Any]]:
        """End the server and give every call that was not taken yet."""
        self.stop()
        calls = []
        while not self._calls.empty():
            calls.append(self._calls.get())
        return calls

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self._reader.join()

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()


class _Servicer(pb_grpc.RelevanceServiceServicer):
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._steps: Iterator[dict[str, Any]] = iter(settings["script"])
        self._lock = threading.Lock()
        self._model = pb.ModelVersion(name="scripted", version=settings.get("version", "1"))
        text_limits = settings.get("text_limits", [8192])
        self._text_limits, self._text_limit = iter(text_limits), text_limits[-1]

    def GetModel(self, request: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:
        self._tell("GetModel", context)
        with self._lock:
            text_limit = next(self._text_limits, self._text_limit)
        limits = pb.Limits(
            max_rows=self._settings.get("limit_rows", 4096), max_text_bytes=text_limit, max_message_bytes=16 << 20
        )
        return pb.GetModelResponse(model=self._model, sha256="0" * 64, labels=LABELS, threshold=0.5, limits=limits)

    def Score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        self._tell("Score", context)
        step = self._next_step(context)
        results = []
        for row, title in enumerate(request.titles[: -1 if "drop_scores" in step else None]):
            if title:
                score = score_of(request.query, title)
                results.append(pb.TitleScore(title=title, score=score, label=LABELS[score >= 0.5]))
            else:
                error = pb.RowError(row=row, code=INVALID_ARGUMENT, reason="title is empty")
                results.append(pb.TitleScore(title=title, error=error))
        return pb.ScoreResponse(results=results, model=self._model)

    def ScoreBatch(self, request: pb.ScoreBatchRequest, context: grpc.ServicerContext) -> pb.ScoreBatchResponse:
        query_index = request.query_index or range(len(request.queries))
        title_index = request.title_index or range(len(request.titles))
        pairs = [(request.queries[q], request.titles[t]) for q, t in zip(query_index, title_index, strict=True)]
        texts = [len(request.queries), len(request.titles)]
        model = f"{request.model.name} {request.model.version}"
        self._tell("ScoreBatch", context, rows=len(pairs), texts=texts, model=model)
        step = self._next_step(context)
        for _, title in pairs:
            effect = self._settings.get("poison", {}).get(title)
            if effect == "DIE":
                os.kill(os.getpid(), signal.SIGKILL)
            if effect is not None:
                context.set_trailing_metadata((("x-fault", "service"),))
                context.abort(grpc.StatusCode[effect], "as told")
        if len(pairs) > self._settings.get("too_large_above", 1 << 30):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max")
        scores = [step.get("score", score_of(*pair)) for pair in pairs]
        labels = [int(score >= 0.5) for score in scores]
        errors = []
        for row, (query, title) in enumerate(pairs):
            if not query.strip() or not title.strip():
                scores[row], labels[row] = float("nan"), 0
                name = "query" if not query.strip() else "title"
                errors.append(pb.RowError(row=row, code=INVALID_ARGUMENT, reason=f"{name} is empty"))
            elif (size := max(len(query.encode()), len(title.encode()))) > self._text_limit:
                scores[row], labels[row] = float("nan"), 0
                reason = f"title has {size} bytes, the limit is {self._text_limit}"
                errors.append(pb.RowError(row=row, code=INVALID_ARGUMENT, reason=reason))
        answer_by = pb.ModelVersion(**step["model"]) if "model" in step else self._model
        keep = len(scores) - step.get("drop_scores", 0)
        return pb.ScoreBatchResponse(
            scores=scores[:keep], labels=labels, errors=errors, model=answer_by, max_text_bytes=self._text_limit
        )

    def Explain(self, request: pb.ExplainRequest, context: grpc.ServicerContext) -> pb.ExplainResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not scripted")

    def _next_step(self, context: grpc.ServicerContext) -> dict[str, Any]:
        with self._lock:
            step = next(self._steps, {})
        until = time.monotonic() + step.get("delay_seconds", self._settings.get("delay_seconds", 0))
        while time.monotonic() < until and context.is_active():
            time.sleep(0.01)
        if "status" in step:
            if "pushback_ms" in step:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", str(step["pushback_ms"])),))
            elif step["status"] in {"INTERNAL", "UNKNOWN"}:
                context.set_trailing_metadata((("x-fault", "service"),))  # the mark of a service's own fault
            context.abort(grpc.StatusCode[step["status"]], step.get("details", "as told"))
        return step

    def _tell(self, method: str, context: grpc.ServicerContext, **more: object) -> None:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        line = json.dumps({"method": method, "at": time.monotonic(), "metadata": metadata, **more})
        with self._lock:
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=json.loads)
    settings = parser.parse_args().settings
    # Blocked before any thread starts: one of gRPC's could take the signal, and the main thread would sleep on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    server = grpc.server(ThreadPoolExecutor(32))
    pb_grpc.add_RelevanceServiceServicer_to_server(_Servicer(settings), server)
    # Each watch holds a thread. With callbacks instead, new clients sometimes hung in their first call.
    servicer = health.HealthServicer(experimental_non_blocking=False)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{settings.get('port', 0)}")
    server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    signal.sigwait({signal.SIGTERM})
    server.stop(0)
    # Python's normal exit sometimes waits for ever for a thread of gRPC's.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
