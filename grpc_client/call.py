"""Making one call: through the gate, over a channel, again and again until it is answered, refused or out of budget."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from grpc_client.config import ClientConfig
from grpc_client.errors import (
    ClientClosedError,
    NoAddressError,
    ServerDiedError,
    ServerFaultError,
    TargetUnavailableError,
)
from grpc_client.flow_control.aimd import AimdLimit
from grpc_client.flow_control.attempt_timeout import AdaptiveTimeout
from grpc_client.flow_control.limiter import ConcurrencyLimiter, Outcome, Permit
from grpc_client.flow_control.retry import Meaning, backoff_seconds, final_error, meaning, pushback_seconds
from grpc_client.isolation import FaultPolicy
from grpc_client.stats import Counters
from grpc_client.transport.channel_pool import Broke, Methods, Pool
from grpc_client.transport.credentials import BearerToken

_PLAIN = FaultPolicy()
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class _Call:
    """One call between its attempts."""

    method: str
    request: Any
    tolerance: FaultPolicy
    suspect: bool
    turn: int
    request_id: str
    started: float
    attempts: int = 0
    timeouts: int = 0
    faults: int = 0
    deaths: int = 0
    token_renewed: bool = False
    # What was said last by somebody: a server, or the system that refused a connection.
    words: str = ""

    def forgive(self, seconds: float) -> None:
        """Take time off the budget's account, if there was any, in which this process did not run: nobody was asked."""
        self.started += max(0.0, seconds)


@dataclass(frozen=True)
class _Failure:
    """How an attempt failed, and what that means."""

    code: grpc.StatusCode
    details: str
    meaning: Meaning = Meaning.REPEAT
    pushback: float | None = None
    token: str | None = None
    # It was given up before a server could be expected to have answered.
    cut_short: bool = False
    # The server was seen alive, got the call, and its connection broke.
    died: bool = False
    # A sign of what the call can do to a server: it was sent and nobody said why it was not answered.
    unexplained: bool = False


class CallExecutor:
    """What a client is in one process: its channels, its limit, its counters; safe to use from many threads.

    Parameters
    ----------
    config
        Where and how to call.
    token
        Shown with each attempt.
    """

    def __init__(self, config: ClientConfig, token: BearerToken | None) -> None:
        self._config = config
        self._token = token
        self._pool = Pool(config)
        self._limit = AimdLimit(config.in_flight)
        self._gate = ConcurrencyLimiter(self._limit)
        self._patience: dict[str, AdaptiveTimeout] = {}
        self.counters = Counters(config.target, config.max_failed_ratio)
        self.closed = threading.Event()

    @property
    def in_flight(self) -> int:
        """Attempts that may be in flight now."""
        return self._limit.current

    def close(self) -> None:
        """End everything that waits or runs."""
        self.closed.set()
        self._pool.close()

    def call(
        self, method: str, request: Any, stop: threading.Event | None = None, tolerance: FaultPolicy = _PLAIN
    ) -> Any:
        """Call `method` until the table of `grpc_client.flow_control.retry` says that it is over.

        Every attempt has its own deadline and carries the same `x-request-id` with its number in
        `x-request-attempt`.

        Parameters
        ----------
        method
            Name of a method of the service.
        request
            Its message.
        stop
            Ends the waits when set.
        tolerance
            What may be the request's own fault, and how often.

        Raises
        ------
        ClientError
            By the table; `ServerDiedError` by `tolerance`; `ConfigError` if a file is unusable; `ClientClosedError` if `stop` is
            set while waiting, or the client is closed.
        """
        stop = self.closed if stop is None else stop
        call = _Call(
            method, request, tolerance, tolerance.suspect, self._gate.turn(), uuid.uuid4().hex, time.monotonic()
        )
        self.counters.add(calls=1)
        while True:
            if stop.is_set():
                raise self._given_up()
            failure = self._attempt(call, stop)
            if not isinstance(failure, _Failure):
                return failure
            if self.closed.is_set():
                raise self._given_up()
            wait = self._judged(call, failure)
            began = time.monotonic()
            if stop.wait(wait):
                raise self._given_up()
            call.forgive(time.monotonic() - began - wait)
            self.counters.add(retries=1)

    def _attempt(self, call: _Call, stop: threading.Event) -> Any:
        with self._gate.passage(call.turn, stop, alone=call.suspect) as passage:
            if call.attempts == 0:
                call.started = time.monotonic()  # the wait for the first turn is not the service's fault
            else:
                call.forgive(passage.paused_seconds)
            call.attempts += 1
            left = self._config.retry.budget_seconds - (time.monotonic() - call.started)
            patience = self._patience.setdefault(call.method, AdaptiveTimeout(self._config.deadline_seconds))
            wait = patience.wait_seconds(call.timeouts)
            # gRPC takes 0 or less as "expired before it was sent"; the budget ends the call before that.
            timeout = min(wait, max(left, 0.001))
            token = None if self._token is None else self._token.value()
            metadata = self._metadata(call, token)
            broke: Broke | None = None
            try:
                with self._methods(call, timeout) as (methods, broke):
                    try:
                        began = time.monotonic()
                        answer = getattr(methods, call.method)(call.request, timeout=timeout, metadata=metadata)
                    except grpc.RpcError as error:
                        # A call that outlived its timeout was not waited for: we were stopped, not the service.
                        call.forgive(time.monotonic() - began - timeout)
                        failure = _failure(error, token, cut_short=timeout < wait, sent=True)
                        if failure.unexplained and broke is not None and broke():
                            failure = _Failure(failure.code, failure.details, died=True)
                        return self._noted(passage, failure)
            except grpc.RpcError as error:
                return self._noted(passage, _failure(error, token, cut_short=timeout < wait, sent=False))
            except NoAddressError as error:
                # Nobody refused anything: it says nothing about the room.
                return _Failure(_UNAVAILABLE, str(error))
            patience.observe(time.monotonic() - began)
            passage.outcome = Outcome.ANSWERED
            return answer

    @contextmanager
    def _methods(self, call: _Call, timeout_seconds: float) -> Iterator[tuple[Methods, Broke | None]]:
        if call.suspect:
            with self._pool.isolated_methods(timeout_seconds) as (methods, broke):
                yield methods, broke
        else:
            with self._pool.methods(timeout_seconds) as methods:
                yield methods, None

    def _metadata(self, call: _Call, token: str | None) -> list[tuple[str, str]]:
        metadata = [
            ("x-request-id", call.request_id),
            ("x-request-attempt", str(call.attempts)),
            ("x-priority", self._config.priority),
        ]
        return metadata if token is None else [*metadata, ("authorization", f"Bearer {token}")]

    def _noted(self, passage: Permit, failure: _Failure) -> _Failure:
        if failure.meaning is Meaning.REPEAT:
            passage.outcome = Outcome.REFUSED
            timed_out = failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
            self.counters.add(refused=not timed_out, timeouts=timed_out)
        else:
            passage.outcome = Outcome.ANSWERED
        return failure

    def _judged(self, call: _Call, failure: _Failure) -> float:
        """Return the wait before the next attempt, or raise what ends the call."""
        config, code = self._config, failure.code
        if code is grpc.StatusCode.UNAUTHENTICATED and failure.token is not None and not call.token_renewed:
            call.token_renewed = True
            if self._token is not None and self._token.has_changed(failure.token):
                return 0.0
        if failure.meaning is not Meaning.REPEAT:
            call.faults += 1
            error = final_error(failure.meaning, code, failure.details, config.target, call.request_id)
            if not isinstance(error, ServerFaultError) or call.faults >= call.tolerance.faults:
                raise error
        if call.tolerance.deaths is not None:
            call.suspect = call.suspect or failure.unexplained
            call.deaths += failure.died
            if call.deaths >= call.tolerance.deaths:
                raise ServerDiedError(
                    f"{config.target} broke the connection whenever it had this call: {failure.details} "
                    f"(request id {call.request_id})",
                    code.name,
                )
        call.timeouts += code is grpc.StatusCode.DEADLINE_EXCEEDED
        if not failure.cut_short or not call.words:
            call.words = f"{code.name}, {failure.details}"
        wait = backoff_seconds(config.retry, call.attempts, failure.pushback)
        spent = time.monotonic() - call.started
        if (failure.pushback is not None and failure.pushback < 0) or spent + wait >= config.retry.budget_seconds:
            times = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
            raise TargetUnavailableError(f"no answer from {config.target} after {times} in {spent:.1f} s: {call.words}")
        return wait

    def _given_up(self) -> ClientClosedError:
        return ClientClosedError(f"the call to {self._config.target} was given up because nobody waits for it any more")


def _failure(error: grpc.RpcError, token: str | None, *, cut_short: bool, sent: bool) -> _Failure:
    call: Any = error  # every RpcError of a finished call is also a grpc.Call
    code, details, metadata = call.code(), call.details() or "no details", call.trailing_metadata()
    pushback = pushback_seconds(metadata)
    return _Failure(
        code,
        details,
        meaning(code, details, metadata),
        pushback,
        token,
        cut_short=cut_short and code is grpc.StatusCode.DEADLINE_EXCEEDED,
        unexplained=sent and code is _UNAVAILABLE and pushback is None,
    )
