"""The channels of one process, and the addresses behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import grpc

from grpc_client.config import ClientConfig
from grpc_client.errors import ClientClosedError
from grpc_client.transport.channel import isolated_channel, open_channel
from grpc_client.transport.endpoint_slices import EndpointSlices
from relevance_stubs.relevance.v1 import relevance_pb2_grpc as pb_grpc

Methods = Any  # the generated stub has two faces, for grpc and grpc.aio, and mypy cannot tell which this one is
Broke = Callable[[], bool]


class Addresses(Protocol):
    """The service's addresses now, as a target that gRPC itself resolves."""

    @property
    def authority(self) -> str | None:
        """Name to expect in the servers' certificates, if it is not in the target."""
        ...

    def target(self, timeout_seconds: float) -> str:
        """Return the target, waiting at most `timeout_seconds`; raises `NoAddressError` if there is none."""
        ...

    def close(self) -> None:
        """Stop following changes."""
        ...


class _Fixed:
    """A target that gRPC itself resolves and follows."""

    authority: str | None = None

    def __init__(self, target: str) -> None:
        self._target = target

    def target(self, timeout_seconds: float) -> str:  # noqa: ARG002
        return self._target

    def close(self) -> None:
        pass


class _Channel:
    """A channel and its number of running calls; a retired one is closed after its last call."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.methods: Methods = pb_grpc.RelevanceServiceStub(channel)
        self.running = 0
        self.retired = False


class ChannelPool:
    """Lends each call the channel with the fewest calls; safe to use from many threads of one process.

    gRPC for Python has no custom name resolution. So if the addresses come from Kubernetes, a change opens new channels
    to the new list; running calls stay on the old channels, which close after their last call.

    Parameters
    ----------
    config
        Where the service is, and how many channels to open.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._addresses: Addresses = (
            EndpointSlices(config.target) if EndpointSlices.understands(config.target) else _Fixed(config.target)
        )
        self._target = ""
        self._channels: list[_Channel] = []
        self._retired: list[_Channel] = []
        self._closed = False

    @contextmanager
    def methods(self, timeout_seconds: float) -> Iterator[Methods]:
        """Yield the service's methods for one call; `timeout_seconds` bounds the wait for the first address.

        Raises
        ------
        NoAddressError
            If there is none.
        ConfigError
            If a certificate's file or the Kubernetes configuration is unusable.
        ClientClosedError
            If the pool is closed.
        """
        target = self._addresses.target(timeout_seconds)
        with self._lock:
            if self._closed:
                raise ClientClosedError(f"the client of {self._config.target} is closed")
            if target != self._target:
                self._open(target)
            lent = min(self._channels, key=lambda each: each.running)
            lent.running += 1
        try:
            yield lent.methods
        finally:
            with self._lock:
                lent.running -= 1
                done = lent.retired and lent.running == 0
                if done:
                    self._retired.remove(lent)
            if done:
                lent.channel.close()

    @contextmanager
    def isolated_methods(self, timeout_seconds: float) -> Iterator[tuple[Methods, Broke]]:
        """Yield methods for a quarantined call; raises as `methods` and `isolated_channel` do."""
        target = self._addresses.target(timeout_seconds)
        with isolated_channel(target, self._config.tls, timeout_seconds, authority=self._addresses.authority) as (
            channel,
            broke,
        ):
            yield pb_grpc.RelevanceServiceStub(channel), broke

    def close(self) -> None:
        """Close all channels; running calls are cancelled."""
        with self._lock:
            self._closed = True
            channels = [*self._channels, *self._retired]
            self._channels, self._retired = [], []
        self._addresses.close()
        for each in channels:
            each.retired = False  # not to be closed again
            each.channel.close()

    def _open(self, target: str) -> None:
        config, authority = self._config, self._addresses.authority
        with ExitStack() as opened:
            fresh = []
            for number in range(config.channels):
                channel = open_channel(target, config.retry, config.tls, authority=authority, number=number)
                opened.callback(channel.close)
                fresh.append(_Channel(channel))
            opened.pop_all()
        for old in self._channels:
            if old.running:
                old.retired = True
                self._retired.append(old)
            else:
                old.channel.close()
        self._channels, self._target = fresh, target
