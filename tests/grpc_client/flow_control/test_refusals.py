"""What gRPC itself and proxies say, written by hand in HTTP/2: repeated or final, and never held against a row."""

from __future__ import annotations

import pytest

from grpc_client import ClientConfig, RelevanceClient, RequestRejectedError, RetryPolicy, TargetUnavailableError
from tests.support.http2_server import Ending, Http2Server, go_away, hang_up, reset, trailers_only
from tests.support.scripted_server import score_of

QUERIES, TITLES = ["usb cable", "kettle", "lamp"], ["usb c cable", "kettle 2 l", "desk lamp"]
SCORES = [score_of(*pair) for pair in zip(QUERIES, TITLES, strict=True)]
QUICK = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.01, max_backoff_seconds=0.02)
# RFC 9113, section 7.
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY = 0, 2, 7, 8, 11, 12


def proxy(status: int) -> Ending:
    return trailers_only(status=status, content="text/html")


def status(code: int, message: str = "", *more: tuple[str, str]) -> Ending:
    return trailers_only(("grpc-status", str(code)), ("grpc-message", message), *more)


REPEATED = {
    "RST_STREAM NO_ERROR": reset(NO_ERROR),
    "RST_STREAM INTERNAL_ERROR": reset(INTERNAL_ERROR),
    "RST_STREAM REFUSED_STREAM": reset(REFUSED_STREAM),
    "RST_STREAM CANCEL": reset(CANCEL),
    "RST_STREAM ENHANCE_YOUR_CALM": reset(ENHANCE_YOUR_CALM),
    "GOAWAY": go_away(NO_ERROR),
    "GOAWAY ENHANCE_YOUR_CALM": go_away(ENHANCE_YOUR_CALM),
    "hang up": hang_up,
    "HTTP 400": proxy(400),
    "HTTP 429": proxy(429),
    "HTTP 500": proxy(500),
    "HTTP 502": proxy(502),
    "HTTP 503": proxy(503),
    "HTTP 504": proxy(504),
    "HTTP 200 without a status": trailers_only(),
    "CANCELLED": status(1, "CANCELLED"),
    "RESOURCE_EXHAUSTED too many calls": status(8, "Too many pending requests for this server"),
    "RESOURCE_EXHAUSTED concurrency": status(8, "Concurrent RPC limit exceeded!"),
    "RESOURCE_EXHAUSTED headers": status(8, "received metadata size exceeds soft limit"),
    "INTERNAL of gRPC": status(13, "Failed to decompress messages"),
    "UNKNOWN of gRPC": status(2, "Unexpected <class 'KeyError'>: 'x'"),
    "ABORTED": status(10, "try again"),
    "a status that does not exist": status(99),
}


@pytest.mark.parametrize("ending", REPEATED.values(), ids=REPEATED)
def test_what_says_nothing_about_the_rows_is_repeated_whole(ending: Ending) -> None:
    with Http2Server(*[ending] * 4) as server, RelevanceClient(ClientConfig(server.address, retry=QUICK)) as client:
        answer = client.score_batch(QUERIES, TITLES)
        stats = client.stats()
    assert (list(answer.scores), answer.errors) == (SCORES, {})
    assert server.rows == [3] * 5
    assert stats.refused >= 1  # gRPC repeats some by itself
    assert (stats.timeouts, stats.failed_rows) == (0, 0)


@pytest.mark.parametrize("ending", [reset(CANCEL), reset(INTERNAL_ERROR), status(13, "of gRPC"), proxy(500)])
def test_what_never_ends_ends_the_run_and_no_row_is_failed(ending: Ending) -> None:
    retry = RetryPolicy(budget_seconds=0.5, initial_backoff_seconds=0.01, max_backoff_seconds=0.02)
    with Http2Server(*[ending] * 1000) as server, RelevanceClient(ClientConfig(server.address, retry=retry)) as client:
        with pytest.raises(TargetUnavailableError, match=r"no answer from .* after \d+ attempts"):
            client.score_batch(QUERIES, TITLES)
        assert client.stats().failed_rows == 0
    assert set(server.rows) == {3}


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (proxy(401), "UNAUTHENTICATED"),
        (proxy(403), "PERMISSION_DENIED"),
        (proxy(404), "UNIMPLEMENTED"),
        (status(12, "Method not found!"), "UNIMPLEMENTED"),
        (reset(INADEQUATE_SECURITY), "PERMISSION_DENIED"),
    ],
)
def test_what_can_never_succeed_is_said_at_once(ending: Ending, code: str) -> None:
    with (
        Http2Server(ending) as server,
        RelevanceClient(ClientConfig(server.address, retry=QUICK)) as client,
        pytest.raises(RequestRejectedError) as error,
    ):
        client.score_batch(QUERIES, TITLES)
    assert error.value.code == code
    assert server.rows == [3]


@pytest.mark.parametrize(
    "ending",
    [
        status(8, "SERVER: Received message larger than max (9 vs. 4)"),
        status(8, "grpc: received message larger than max (9 vs. 4)"),
        status(8, "gRPC message exceeds maximum size 4: 9"),
        proxy(413),
    ],
)
def test_a_message_that_is_too_large_is_halved(ending: Ending) -> None:
    with Http2Server(ending) as server, RelevanceClient(ClientConfig(server.address, retry=QUICK)) as client:
        assert list(client.score_batch(QUERIES, TITLES).scores) == SCORES
    assert server.rows == [3, 1, 2]


def test_only_a_fault_that_the_service_admits_is_looked_for_in_the_rows() -> None:
    admitted = status(13, "internal error", ("x-fault", "service"))
    with Http2Server(*[admitted] * 4) as server, RelevanceClient(ClientConfig(server.address, retry=QUICK)) as client:
        answer = client.score_batch(QUERIES, TITLES)
    assert list(answer.errors) == [0]
    assert list(answer.scores)[1:] == SCORES[1:]
    assert server.rows == [3, 1, 1, 1, 2]
