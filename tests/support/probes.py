"""Health checks as the kubelet makes them: on a connection of their own, with a time limit, again and again."""

from __future__ import annotations

import threading
from collections import defaultdict

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICES = ("", "liveness")


class Probes:
    """Checks readiness and liveness on a thread until it is left.

    Attributes
    ----------
    checks
        How many were made.
    longest
        The most failures in a row, by service: with as many as the manifest's `failureThreshold` the kubelet acts.
    """

    def __init__(self, address: str, *, period_seconds: float, timeout_seconds: float) -> None:
        self._address = address
        self._period_seconds = period_seconds
        self._timeout_seconds = timeout_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.checks = 0
        self.longest: defaultdict[str, int] = defaultdict(int)

    def __enter__(self) -> Probes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        failures: defaultdict[str, int] = defaultdict(int)
        while not self._done.wait(self._period_seconds):
            for service in SERVICES:
                failures[service] = 0 if self._serves(service) else failures[service] + 1
                self.longest[service] = max(self.longest[service], failures[service])
                self.checks += 1

    def _serves(self, service: str) -> bool:
        with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=self._timeout_seconds)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
