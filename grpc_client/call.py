"""One call of the service: attempts with a permit each, repeated until answered, rejected or out of budget."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from grpc_client.config import PRIORITY_KEY, ClientConfig
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
from grpc_client.transport.channel_pool import Broke, ChannelPool, Methods
from grpc_client.transport.credentials import BearerToken

_NO_ISOLATION = FaultPolicy()
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class _Call:
    """One call between its attempts."""

    method: str
    request: Any
    policy: FaultPolicy
    quarantined: bool
    ticket: int
    request_id: str
    started: float
    attempts: int = 0
    timeouts: int = 0
    faults: int = 0
    deaths: int = 0
    token_renewed: bool = False
    # Status and details of the last attempt that had its full time.
    last_error: str = ""

    def exclude_pause(self, seconds: float) -> None:
        """Do not count `seconds`, if positive, towards the budget: this process did not run then."""
        self.started += max(0.0, seconds)


@dataclass(frozen=True)
class _Failure:
    """How an attempt failed, and what follows."""

    code: grpc.StatusCode
    details: str
    meaning: Meaning = Meaning.REPEAT
    pushback: float | None = None
    token: str | None = None
    # The budget ended the attempt before its own timeout.
    cut_short: bool = False
    # The server was seen to serve, got the call, and its connection broke.
    died: bool = False
    # UNAVAILABLE without pushback after the request was sent: this call may have crashed its server.
    unexplained: bool = False


class CallExecutor:
    """Makes a client's calls in one process: holds its channels, its limit and its counters.

    Safe to use from many threads.

    Parameters
    ----------
    config
        Where and how to call.
    token
        Sent with each attempt.
    """

    def __init__(self, config: ClientConfig, token: BearerToken | None) -> None:
        self._config = config
        self._token = token
        self._pool = ChannelPool(config)
        self._limit = AimdLimit(config.in_flight)
        self._limiter = ConcurrencyLimiter(self._limit)
        self._timeouts: dict[str, AdaptiveTimeout] = {}
        self.counters = Counters(config.target, config.max_failed_ratio)
        self.closed = threading.Event()

    @property
    def in_flight(self) -> int:
        """Attempts that may be in flight now."""
        return self._limit.current

    def close(self) -> None:
        """End all calls, those that wait as well."""
        self.closed.set()
        self._pool.close()

    def call(
        self, method: str, request: Any, stop: threading.Event | None = None, policy: FaultPolicy = _NO_ISOLATION
    ) -> Any:
        """Return the response to `request`, after as many attempts as `grpc_client.flow_control.retry` allows.

        Each attempt has its own deadline. All carry the same `x-request-id`, and their number in `x-request-attempt`.

        Parameters
        ----------
        method
            Name of a method of the service.
        request
            Its message.
        stop
            Ends the waits when set; `closed` if absent.
        policy
            How many attempts may fail in a way that the request can cause.

        Raises
        ------
        ClientError
            By the table of `retry`; `ServerDiedError` by `policy`; `ConfigError` if a file is unusable;
            `ClientClosedError` if `stop` is set during a wait, or the client is closed.
        """
        stop = self.closed if stop is None else stop
        call = _Call(
            method, request, policy, policy.quarantined, self._limiter.ticket(), uuid.uuid4().hex, time.monotonic()
        )
        self.counters.add(calls=1)
        while True:
            if stop.is_set():
                raise self._closed_error()
            failure = self._attempt(call, stop)
            if not isinstance(failure, _Failure):
                return failure
            if self.closed.is_set():
                raise self._closed_error()
            wait = self._wait_or_raise(call, failure)
            began = time.monotonic()
            if stop.wait(wait):
                raise self._closed_error()
            call.exclude_pause(time.monotonic() - began - wait)
            self.counters.add(retries=1)

    def _attempt(self, call: _Call, stop: threading.Event) -> Any:
        with self._limiter.permit(call.ticket, stop, alone=call.quarantined) as permit:
            if call.attempts == 0:
                call.started = time.monotonic()  # the wait for the first permit does not count
            else:
                call.exclude_pause(permit.paused_seconds)
            call.attempts += 1
            left = self._config.retry.budget_seconds - (time.monotonic() - call.started)
            adaptive = self._timeouts.setdefault(call.method, AdaptiveTimeout(self._config.deadline_seconds))
            full_timeout = adaptive.timeout_seconds(call.timeouts)
            # gRPC takes 0 or less as "expired before it was sent"; the budget ends the call before that.
            timeout = min(full_timeout, max(left, 0.001))
            token = None if self._token is None else self._token.value()
            metadata = self._metadata(call, token)
            broke: Broke | None = None
            try:
                with self._methods(call, timeout) as (methods, broke):
                    try:
                        began = time.monotonic()
                        answer = getattr(methods, call.method)(call.request, timeout=timeout, metadata=metadata)
                    except grpc.RpcError as error:
                        # A call that outlived its timeout: this process was stopped, not the service.
                        call.exclude_pause(time.monotonic() - began - timeout)
                        failure = _failure(error, token, cut_short=timeout < full_timeout, sent=True)
                        if failure.unexplained and broke is not None and broke():
                            failure = _Failure(failure.code, failure.details, died=True)
                        return self._dropped_or_answered(permit, failure)
            except grpc.RpcError as error:
                return self._dropped_or_answered(
                    permit, _failure(error, token, cut_short=timeout < full_timeout, sent=False)
                )
            except NoAddressError as error:
                # No server was asked, so it says nothing about the service's capacity.
                return _Failure(_UNAVAILABLE, str(error))
            adaptive.observe(time.monotonic() - began)
            permit.outcome = Outcome.SUCCESS
            return answer

    @contextmanager
    def _methods(self, call: _Call, timeout_seconds: float) -> Iterator[tuple[Methods, Broke | None]]:
        if call.quarantined:
            with self._pool.isolated_methods(timeout_seconds) as (methods, broke):
                yield methods, broke
        else:
            with self._pool.methods(timeout_seconds) as methods:
                yield methods, None

    def _metadata(self, call: _Call, token: str | None) -> list[tuple[str, str]]:
        metadata = [
            ("x-request-id", call.request_id),
            ("x-request-attempt", str(call.attempts)),
            (PRIORITY_KEY, self._config.priority),
        ]
        return metadata if token is None else [*metadata, ("authorization", f"Bearer {token}")]

    def _dropped_or_answered(self, permit: Permit, failure: _Failure) -> _Failure:
        if failure.meaning is Meaning.REPEAT:
            permit.outcome = Outcome.DROPPED
            timed_out = failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
            self.counters.add(refused=not timed_out, timeouts=timed_out)
        else:
            permit.outcome = Outcome.SUCCESS
        return failure

    def _wait_or_raise(self, call: _Call, failure: _Failure) -> float:
        """Return the seconds to wait before the next attempt, or raise the error that ends the call."""
        config, code = self._config, failure.code
        if code is grpc.StatusCode.UNAUTHENTICATED and failure.token is not None and not call.token_renewed:
            call.token_renewed = True
            if self._token is not None and self._token.has_changed(failure.token):
                return 0.0
        if failure.meaning is not Meaning.REPEAT:
            call.faults += 1
            error = final_error(failure.meaning, code, failure.details, config.target, call.request_id)
            if not isinstance(error, ServerFaultError) or call.faults >= call.policy.faults:
                raise error
        if call.policy.deaths is not None:
            call.quarantined = call.quarantined or failure.unexplained
            call.deaths += failure.died
            if call.deaths >= call.policy.deaths:
                raise ServerDiedError(
                    f"{config.target} broke the connection whenever it had this call: {failure.details} "
                    f"(request id {call.request_id})",
                    code.name,
                )
        call.timeouts += code is grpc.StatusCode.DEADLINE_EXCEEDED
        if not failure.cut_short or not call.last_error:
            call.last_error = f"{code.name}, {failure.details}"
        wait = backoff_seconds(config.retry, call.attempts, failure.pushback)
        spent = time.monotonic() - call.started
        if (failure.pushback is not None and failure.pushback < 0) or spent + wait >= config.retry.budget_seconds:
            times = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
            raise TargetUnavailableError(
                f"no answer from {config.target} after {times} in {spent:.1f} s: {call.last_error}"
            )
        return wait

    def _closed_error(self) -> ClientClosedError:
        return ClientClosedError(
            f"the call to {self._config.target} was given up because its client or its window was closed"
        )


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
