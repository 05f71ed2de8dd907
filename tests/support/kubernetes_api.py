"""A Kubernetes API server, as far as this project calls one: real HTTP on a real port, with the JSON of a real one.

It knows one service's EndpointSlices (list and watch), a Deployment with its Scale, and a HorizontalPodAutoscaler; it
keeps resource versions, checks them in patches, and forgets old ones on request. Tests act as the controllers.
"""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support import kubernetes_objects as objects
from tests.support.kubernetes_objects import DEPLOYMENT, NAMESPACE, SERVICE, Json

_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
_DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}"
_HPA = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{DEPLOYMENT}"


class KubernetesApi:
    """Listen on entry; `restart` gives up the port and all streams, and takes it again."""

    def __init__(self, replicas: int = 2, hpa: tuple[int, int] | None = (2, 10)) -> None:
        self._changed = threading.Condition()
        self._version = 1000
        self._oldest = 0
        self._events: list[tuple[int, str, Json]] = []
        self._slices: dict[str, Json] = {}
        self._generation = 0
        self._sent = 0
        self.port = 0
        self.connections: set[socket.socket] = set()
        self.requests: list[tuple[str, str, Json | None]] = []
        # By method and end of the path: answers to give before the real one, as (status, reason, message).
        self.refusals: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.gone_as_status = False
        # How many of the wanted replicas get ready; None: all of them.
        self.room: int | None = None
        self.before_patch: Callable[[str], None] = lambda path: None
        self.deployment = objects.deployment(replicas, self._version)
        self.hpa = None if hpa is None else objects.autoscaler(*hpa, self._version)

    # What tests do

    def __enter__(self) -> KubernetesApi:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        api = self

        class Handler(_Handler):
            server_api = api

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._generation += 1  # streams of the old one end
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        path.write_text(json.dumps(objects.kubeconfig(f"http://127.0.0.1:{self.port}")))
        return path

    def set_endpoints(
        self, addresses: list[str], *, not_ready: list[str] | None = None, name: str = "relevance-abc12"
    ) -> None:
        """Replace a slice: `host:port` each; all ports of a slice are the same in Kubernetes, so one slice a port."""
        by_port: dict[str, list[tuple[str, bool]]] = {}
        for address, ready in [*((a, True) for a in addresses), *((a, False) for a in not_ready or [])]:
            host, port = address.rsplit(":", 1)
            by_port.setdefault(port, []).append((host, ready))
        with self._changed:
            names = {port: f"{name}-{port}" for port in by_port}
            wanted = {names[port]: objects.endpoint_slice(names[port], port, by_port[port]) for port in by_port}
            for gone in [each for each in self._slices if each.startswith(name) and each not in wanted]:
                self._change("DELETED", gone, self._slices[gone])
            for each, new in wanted.items():
                kind = "MODIFIED" if each in self._slices else "ADDED"
                self._change(kind, each, new)

    def bookmark(self) -> int:
        """Tell the watches which version they have seen; return it."""
        with self._changed:
            self._version += 1
            self._events.append((self._version, "BOOKMARK", {"kind": "EndpointSlice", "metadata": {}}))
            self._changed.notify_all()
            return self._version

    def forget(self, before: int) -> None:
        """Compact: watches from an older version end with 410."""
        with self._changed:
            self._oldest = before

    def cut_streams(self, after: int = 0) -> None:
        """End all watches, once the event of version `after` was sent."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._sent >= after)
            self._generation += 1
            self._changed.notify_all()

    def wait_for(self, method: str, path: str, count: int = 1) -> None:
        """Wait until there were so many requests whose path and query hold `path`."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(method, path) >= count), self.requests

    def count(self, method: str, path: str) -> int:
        return sum(1 for verb, url, _ in self.requests if verb == method and path in url)

    # What the handler asks

    def note(self, method: str, url: str, body: Json | None) -> int:
        with self._changed:
            self.requests.append((method, url, body))
            self._changed.notify_all()
            return self._generation

    def note_sent(self, version: int) -> None:
        with self._changed:
            self._sent = version
            self._changed.notify_all()

    def answer(self, method: str, url: str, body: Json | None, generation: int) -> tuple[int, Json] | Iterator[Json]:
        parts = urlsplit(url)
        path, query = parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}
        for verb, end in self.denied:
            if verb in {method, "*"} and path.endswith(end):
                why = f'{end} is forbidden: User "system:serviceaccount:search:job" cannot'
                return objects.failure(403, "Forbidden", why)
        for (verb, end), refusals in self.refusals.items():
            if verb == method and path.endswith(end) and refusals:
                return objects.failure(*refusals.pop(0))
        if path == _SLICES:
            return self._watch(query, generation) if query.get("watch") else self._list(query)
        if path == _HPA and self.hpa is not None:
            return self._object(self.hpa, method, body, path)
        if path == _DEPLOYMENT:
            return self._object(self.deployment, method, body, path)
        if path == f"{_DEPLOYMENT}/scale":
            return self._scale(method, body)
        kind, name = path.rsplit("/", 2)[-2:]
        return objects.failure(404, "NotFound", f'{kind} "{name}" not found')

    def _list(self, query: dict[str, str]) -> tuple[int, Json]:
        assert query["labelSelector"] == f"kubernetes.io/service-name={SERVICE}"
        with self._changed:
            return 200, {
                "kind": "EndpointSliceList",
                "apiVersion": "discovery.k8s.io/v1",
                "metadata": {"resourceVersion": str(self._version)},
                "items": [
                    {key: value for key, value in each.items() if key not in {"kind", "apiVersion"}}
                    for each in copy.deepcopy(list(self._slices.values()))
                ],
            }

    def _watch(self, query: dict[str, str], generation: int) -> tuple[int, Json] | Iterator[Json]:
        since = int(query["resourceVersion"])
        gone = objects.failure(410, "Expired", f"too old resource version: {since} ({self._oldest})")
        if since < self._oldest:
            return gone if self.gone_as_status else iter([{"type": "ERROR", "object": gone[1]}])
        return self._stream(since, query.get("allowWatchBookmarks") == "true", generation)

    def _stream(self, since: int, bookmarks: bool, generation: int) -> Iterator[Json]:
        while True:
            with self._changed:
                while self._generation == generation and self._version <= since:
                    self._changed.wait()
                if self._generation != generation:
                    return
                news = [event for event in self._events if event[0] > since]
                since = self._version
            for version, kind, item in news:
                if kind != "BOOKMARK" or bookmarks:
                    item["metadata"]["resourceVersion"] = str(version)
                    yield {"type": kind, "object": item}

    def _object(self, item: Json, method: str, body: Json | None, path: str) -> tuple[int, Json]:
        if method == "PATCH":
            assert body is not None
            self.before_patch(path)
            with self._changed:
                asked = body.get("metadata", {}).get("resourceVersion")
                if asked is not None and asked != item["metadata"]["resourceVersion"]:
                    return objects.failure(
                        409, "Conflict", "the object has been modified; please apply your changes to the latest version"
                    )
                objects.merge(item, body)
                self.touch(item)
                self._control()
        with self._changed:
            return 200, copy.deepcopy(item)

    def _scale(self, method: str, body: Json | None) -> tuple[int, Json]:
        with self._changed:
            if method == "PATCH":
                assert body is not None
                self.deployment["spec"]["replicas"] = body["spec"]["replicas"]
                self.touch(self.deployment)
                self._control()
            return 200, objects.scale(self.deployment)

    # What controllers do

    def _control(self) -> None:
        spec, status = self.deployment["spec"], self.deployment["status"]
        if self.hpa is not None:
            spec["replicas"] = max(spec["replicas"], self.hpa["spec"]["minReplicas"])
        status["replicas"] = status["updatedReplicas"] = spec["replicas"]
        status["readyReplicas"] = status["availableReplicas"] = min(spec["replicas"], self.room or spec["replicas"])

    def _change(self, kind: str, name: str, new: Json) -> None:
        self._version += 1
        new = copy.deepcopy(new)
        new["metadata"]["resourceVersion"] = str(self._version)
        if kind == "DELETED":
            del self._slices[name]
        else:
            self._slices[name] = new
        self._events.append((self._version, kind, copy.deepcopy(new)))
        self._changed.notify_all()

    def touch(self, item: Json) -> None:
        """Give an object a new version, as any change of it does."""
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_api: KubernetesApi

    def setup(self) -> None:
        super().setup()
        self.server_api.connections.add(self.connection)

    def finish(self) -> None:
        self.server_api.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        generation = self.server_api.note(self.command, self.path, body)
        answer = self.server_api.answer(self.command, self.path, body, generation)
        if isinstance(answer, tuple):
            content = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in answer:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.server_api.note_sent(int(event["object"]["metadata"].get("resourceVersion", 0)))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the watcher has left
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
