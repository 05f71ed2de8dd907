"""The addresses of a Kubernetes service: its EndpointSlices, listed once, then watched.

The target is `k8s:///NAMESPACE/SERVICE:PORT`; PORT is the port's name in the Service, or its number in the pod. The
rights needed are `list` and `watch` on `endpointslices` in that namespace. Compared with `dns:///`, a new replica is
known within a second, not at the next look-up of the name; and the Service need not be headless.

Errors change no address: while the API server is away or refuses, calls go to the last known addresses. A watch that
ends with "410 Gone", because the server no longer has the version that it began with, begins again with a list.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from grpc_client.errors import ConfigError, NoAddressError
from grpc_client.target import KUBERNETES
from qtr_runtime import kubernetes_api

log = logging.getLogger(__name__)

_SCHEME = "k8s:"
_WATCH_SECONDS = 300
# An API server sends a bookmark about once a minute; longer silence means that the connection is dead.
_SILENCE_SECONDS = 90.0
_GONE = 410
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 10.0
# A rolling update changes many slices in a row; each change of the target opens new connections.
_SETTLE_SECONDS = 1.0

Slice = Mapping[str, Any]


def target_of(slices: Iterable[Slice], port: str) -> str:
    """Return the gRPC target of all ready endpoints in a fixed order, or "" if there are none.

    Parameters
    ----------
    slices
        EndpointSlices as JSON objects.
    port
        A port's name or number.

    Examples
    --------
    >>> endpoints = [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]
    >>> ports = [{"name": "grpc", "port": 8001}]
    >>> target_of([{"addressType": "IPv4", "ports": ports, "endpoints": endpoints}], "grpc")
    'ipv4:10.0.0.1:8001,10.0.0.2:8001'
    """
    found: dict[str, set[str]] = {"IPv4": set(), "IPv6": set()}
    for each in slices:
        addresses = found.get(each.get("addressType", ""))
        number = _port_number(each.get("ports") or (), port)
        if addresses is None or number is None:
            continue
        for endpoint in each.get("endpoints") or ():
            # A missing "ready" means unknown, which counts as ready.
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                addresses.update(f"{_host(address)}:{number}" for address in endpoint["addresses"][:1])
    for kind, scheme in (("IPv4", "ipv4"), ("IPv6", "ipv6")):
        if found[kind]:
            return f"{scheme}:{','.join(sorted(found[kind]))}"
    return ""


def _port_number(ports: Iterable[Mapping[str, Any]], wanted: str) -> int | None:
    for port in ports:
        if wanted in {port.get("name"), str(port.get("port"))}:
            return port.get("port")
    return None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class EndpointSlices:
    """Follows one service's addresses on a thread, which starts with the first call of `target`.

    Parameters
    ----------
    target
        `k8s:///NAMESPACE/SERVICE:PORT`.

    Raises
    ------
    ConfigError
        If the target has another shape.
    """

    def __init__(self, target: str) -> None:
        parts = KUBERNETES.fullmatch(target)
        if parts is None:
            raise ConfigError(f"the target {target} has another shape than k8s:///NAMESPACE/SERVICE:PORT")
        self._namespace, self._service, self._port = parts["namespace"], parts["service"], parts["port"]
        self._name = f"service {self._namespace}/{self._service}"
        self.authority: str | None = f"{self._service}.{self._namespace}.svc"
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._watch: Any = None
        self._first_answer = threading.Event()  # the first list has come, or failed
        self._slices: dict[str, Slice] = {}
        self._version = ""
        self._error: Exception | None = None
        self._published, self._published_at = "", float("-inf")

    @staticmethod
    def understands(target: str) -> bool:
        """Return whether a target is of this kind."""
        return target.startswith(_SCHEME)

    def target(self, timeout_seconds: float) -> str:
        """Return the gRPC target of the ready endpoints; the first call waits for the list, `timeout_seconds` at most.

        Raises
        ------
        NoAddressError
            If nothing is ready, or no API server answers, and no address was known before.
        ConfigError
            If the API server refuses, or no configuration leads to one.
        """
        self._start()
        self._first_answer.wait(timeout_seconds)
        with self._lock:
            now = time.monotonic()
            if not self._published or now - self._published_at >= _SETTLE_SECONDS:
                target = target_of(self._slices.values(), self._port)
                if target != self._published:
                    # Without ready endpoints the last addresses stay in use: some may come back.
                    self._published, self._published_at = target or self._published, now
            if self._published:
                return self._published
            if isinstance(self._error, ConfigError):
                raise self._error
            raise NoAddressError(str(self._error or f"{self._name} has no ready endpoint with port {self._port}"))

    def close(self) -> None:
        """Stop following changes, without waiting for the thread."""
        self._stop.set()
        watch = self._watch
        if watch is not None:
            watch.stop()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name=f"watch {self._name}", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        try:
            api_client = kubernetes_api.connect()
        except kubernetes_api.KubernetesConfigError as error:
            self._note(ConfigError(str(error)))
            return
        from kubernetes import client
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        api = client.DiscoveryV1Api(api_client)
        failures = 0
        while not self._stop.is_set():
            try:
                if not self._version:
                    self._list(api)
                began = time.monotonic()
                self._follow_changes(api)
                # A stream that ends at once must not be opened again without a pause.
                failures = 0 if time.monotonic() - began > _SETTLE_SECONDS else failures + 1
            except ApiException as error:
                failures = self._refused(error, failures)
            except (HTTPError, OSError) as error:
                failures += 1
                self._note(NoAddressError(f"no Kubernetes API server answers: {kubernetes_api.reason(error)}"))
            except Exception as error:  # the thread must survive whatever the server sends
                failures += 1
                self._version = ""
                self._note(NoAddressError(f"the Kubernetes API server's answer is not understood: {error!r}"))
            if failures:
                self._stop.wait(
                    random.uniform(0, min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(failures, 16)))
                )
        api_client.rest_client.close()

    def _list(self, api: Any) -> None:
        answer = api.list_namespaced_endpoint_slice(
            self._namespace,
            label_selector=self._selector,
            _request_timeout=(kubernetes_api.CONNECT_SECONDS, kubernetes_api.READ_SECONDS),
        )
        slices = [api.api_client.sanitize_for_serialization(item) for item in answer.items]
        with self._lock:
            self._slices = {each["metadata"]["name"]: each for each in slices}
            self._version = answer.metadata.resource_version
            self._error = None
        self._first_answer.set()

    def _follow_changes(self, api: Any) -> None:
        from kubernetes.watch import Watch

        self._watch = Watch()  # type: ignore[no-untyped-call]
        events = self._watch.stream(
            api.list_namespaced_endpoint_slice,
            self._namespace,
            label_selector=self._selector,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=(kubernetes_api.CONNECT_SECONDS, _SILENCE_SECONDS),
        )
        for event in events:
            if self._stop.is_set():
                return
            each = event["raw_object"]
            with self._lock:
                self._error = None
                self._version = each["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._slices.pop(each["metadata"]["name"], None)
                elif event["type"] != "BOOKMARK":
                    self._slices[each["metadata"]["name"]] = each

    @property
    def _selector(self) -> str:
        return f"kubernetes.io/service-name={self._service}"

    def _refused(self, error: Any, failures: int) -> int:
        if error.status == _GONE:
            self._version = ""
            return failures + 1
        why = kubernetes_api.reason(error)
        if kubernetes_api.is_refused(error):
            self._note(
                ConfigError(
                    f"Kubernetes does not let this program list and watch endpointslices in {self._namespace}: {why}"
                )
            )
        else:
            self._note(NoAddressError(f"the Kubernetes API server answered {error.status}: {why}"))
        return failures + 1

    def _note(self, error: Exception) -> None:
        with self._lock:
            first = self._error is None and bool(self._slices) and not self._stop.is_set()
            self._error = error
        if first:
            log.warning("the addresses of %s are not followed for now: %s", self._name, error)
        self._first_answer.set()
