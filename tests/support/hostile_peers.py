"""Hostile peers, one function for each kind of attack; each makes one attempt and disconnects."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import h2.exceptions

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from tests.support.protobuf_wire import field
from tests.support.raw_http2 import (
    CHECK,
    METHODS,
    PREFACE,
    SCORE,
    SCORE_BATCH,
    SETTINGS,
    TIMEOUT_SECONDS,
    WATCH,
    RawPeer,
    call,
    frame,
    message,
    shout,
)

Peer = Callable[["tuple[str, int]", random.Random], None]


def _a_batch(rng: random.Random, rows: int = 64) -> bytes:
    titles = [f"title {rng.random()} in blue" for _ in range(rows)]
    request = pb.ScoreBatchRequest(
        queries=["shoes"], titles=titles, query_index=[0] * rows, title_index=list(range(rows))
    )
    return request.SerializeToString()


def random_bytes(address: tuple[str, int], rng: random.Random) -> None:
    shout(address, rng.randbytes(rng.randrange(1, 20_000)))


def garbage_after_preface(address: tuple[str, int], rng: random.Random) -> None:
    shout(address, PREFACE + SETTINGS * rng.randrange(2) + rng.randbytes(rng.randrange(1, 20_000)))


def other_protocols(address: tuple[str, int], rng: random.Random) -> None:
    lines = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-x\r\n"]
    shout(address, rng.choice(lines))


def truncated_frames(address: tuple[str, int], rng: random.Random) -> None:
    length, kind, flags = rng.randrange(1, 1 << 14), rng.randrange(0, 11), rng.randrange(256)
    head = length.to_bytes(3, "big") + bytes([kind, flags]) + rng.randrange(0, 9).to_bytes(4, "big")
    shout(address, PREFACE + SETTINGS + head + rng.randbytes(rng.randrange(length)), listen=False)


def flipped_bytes(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        stream = peer.http2.get_next_available_stream_id()
        peer.http2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":path", SCORE_BATCH)])
        peer.http2.send_data(stream, message(_a_batch(rng, 8)), end_stream=True)
        frames = bytearray(peer.http2.data_to_send())
        for _ in range(rng.randrange(1, 8)):
            frames[rng.randrange(len(frames))] ^= 1 << rng.randrange(8)
        peer.socket.sendall(frames)
        peer.status(stream, 0.5)


def wrong_messages(address: tuple[str, int], rng: random.Random) -> None:
    body = rng.randbytes(rng.randrange(1, 2000))
    call(address, rng.choice(METHODS), message(body, compressed=rng.randrange(3)))


def lying_lengths(address: tuple[str, int], rng: random.Random) -> None:
    length = rng.choice([0, 1, 1 << 20, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1])
    call(address, rng.choice(METHODS), message(rng.randbytes(rng.randrange(100)), length=length))


def bad_utf8(address: tuple[str, int], rng: random.Random) -> None:
    text = rng.choice([b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"]) + rng.randbytes(20)
    body = field(1, text) + field(2, text)
    call(address, rng.choice([SCORE, SCORE_BATCH]), message(body))


def index_overflows(address: tuple[str, int], rng: random.Random) -> None:
    highest = rng.choice([1, 1 << 31, (1 << 32) - 1])
    request = pb.ScoreBatchRequest(
        queries=["a"], titles=["b"], query_index=[0, highest], title_index=[0] * rng.randrange(1, 4)
    )
    # A varint of ten bytes is more than a uint32 can be.
    call(address, SCORE_BATCH, message(request.SerializeToString() + b"\x18" + b"\xff" * 9 + b"\x01"))


def huge_metadata(address: tuple[str, int], rng: random.Random) -> None:
    many = [(f"x-{number}", "v" * 100) for number in range(rng.randrange(500))]
    call(address, SCORE, b"", [("x-big", "v" * rng.randrange(200_000)), *many])


def odd_headers(address: tuple[str, int], rng: random.Random) -> None:
    extra = rng.choice(
        [
            [("grpc-timeout", "-1S")],
            [("grpc-timeout", "99999999999H")],
            [("grpc-encoding", "lzma")],
            [("x-request-id", "\x01" * 300)],
            [("x-priority", "highest")],
            [("authorization", "Bearer " + "x" * 5000)],
            [("content-length", "-5")],
            [(":path", "/twice")],
            [("traceparent", "00-zz")],
        ]
    )
    call(address, rng.choice([SCORE, "", "/", "relevance", "*", "/" + "x" * 3000]), message(b""), extra)


def continuation_flood(address: tuple[str, int], rng: random.Random) -> None:
    """Headers that never end: each frame adds one more, and none is the last."""
    begin = frame(1, b"\x82")
    more = frame(9, b"\x40\x03x-a\x01b")
    shout(address, PREFACE + SETTINGS + begin + more * rng.randrange(1, 5000))


def control_flood(address: tuple[str, int], rng: random.Random) -> None:
    ping = frame(6, rng.randbytes(8), stream=0)
    shout(address, PREFACE + SETTINGS + rng.choice([ping, SETTINGS]) * rng.randrange(1, 2000))


def rapid_resets(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        for _ in range(rng.randrange(1, 200)):
            stream = peer.start(SCORE_BATCH)
            peer.http2.reset_stream(stream)
        peer.flush()


def early_disconnects(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        data = message(_a_batch(rng, rng.randrange(1, 512)))
        for _ in range(rng.randrange(1, 4)):
            peer.send(peer.start(SCORE_BATCH), data[: rng.choice([3, len(data) // 2, len(data)])], end=True)


def unread_answers(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        peer.http2.update_settings({4: 0})  # no window: the server may send no answer
        peer.flush()
        for _ in range(rng.randrange(1, 20)):
            peer.send(peer.start(SCORE_BATCH), message(_a_batch(rng)), end=True)
        time.sleep(rng.random())


def many_texts(address: tuple[str, int], rng: random.Random) -> None:
    """A small message of a great many empty strings, which take more room once they are read."""
    call(address, rng.choice([SCORE, SCORE_BATCH]), message(b"\x12\x00" * rng.randrange(1, 1 << 20)))


def giants(address: tuple[str, int], rng: random.Random) -> None:
    call(address, SCORE_BATCH, message(bytes(rng.randrange(1 << 20, 3 << 20)), length=(1 << 22) - 100))


def dribble(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        path = rng.choice([SCORE_BATCH, SCORE, CHECK])
        streams = [peer.start(path) for _ in range(rng.randrange(1, 30))]
        for stream in streams:
            peer.send(stream, message(b"\x0a", length=1 << 21))
        until = time.monotonic() + 3 * rng.random()
        while time.monotonic() < until:
            time.sleep(0.1)
            peer.send(rng.choice(streams), b"\x00")


def closed_windows(address: tuple[str, int], rng: random.Random) -> None:
    """Watch the health and take none of it."""
    with RawPeer(address) as peer:
        peer.http2.update_settings({4: 0})
        peer.flush()
        for _ in range(rng.randrange(1, 100)):
            peer.send(peer.start(WATCH), message(b""), end=True)
        time.sleep(3 * rng.random())


def half_sent_checks(address: tuple[str, int], rng: random.Random) -> None:
    with RawPeer(address) as peer:
        for _ in range(rng.randrange(1, 100)):
            peer.send(peer.start(rng.choice([CHECK, WATCH])), message(b"\x0a", length=900))
        time.sleep(3 * rng.random())


def refused_giants(address: tuple[str, int], rng: random.Random) -> None:
    """A message of the largest size that comes whole, with far more indices than rows that it may have."""
    indices = bytes(rng.randrange(1 << 20, (1 << 22) - 100))
    call(address, SCORE_BATCH, message(field(4, indices)))


def giant_names(address: tuple[str, int], rng: random.Random) -> None:
    name = b"x" * rng.randrange(1 << 20, (1 << 22) - 100)
    call(address, rng.choice([CHECK, WATCH]), message(field(1, name)))


def long_words(address: tuple[str, int], rng: random.Random) -> None:
    """Titles as long as they may be, of words that no vocabulary has."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    titles = [" ".join("".join(rng.choices(letters, k=100)) for _ in range(80)) for _ in range(64)]
    call(address, SCORE, message(pb.ScoreRequest(query="a", titles=titles).SerializeToString()))


def unread_pings(address: tuple[str, int], rng: random.Random) -> None:
    """Fill the connection with answers to pings, and read none of them."""
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(PREFACE + SETTINGS)
        pings = frame(6, rng.randbytes(8), stream=0) * 1000
        for _ in range(rng.randrange(1, 500)):
            peer.sendall(pings)


PEERS: tuple[Peer, ...] = (
    random_bytes,
    garbage_after_preface,
    other_protocols,
    truncated_frames,
    flipped_bytes,
    wrong_messages,
    lying_lengths,
    bad_utf8,
    index_overflows,
    huge_metadata,
    odd_headers,
    continuation_flood,
    control_flood,
    rapid_resets,
    early_disconnects,
    unread_answers,
    many_texts,
    giants,
    dribble,
    closed_windows,
    half_sent_checks,
    refused_giants,
    giant_names,
    long_words,
    unread_pings,
)


@contextmanager
def silent_connections(address: tuple[str, int], count: int) -> Iterator[None]:
    """Hold connections open that say nothing, half a preface, or begin a call and never go on."""
    openings = (b"", PREFACE[:10], PREFACE + SETTINGS, PREFACE + SETTINGS + frame(1, b"\x82\x86"))
    with ExitStack() as stack:
        for number in range(count):
            with suppress(OSError):
                connection = stack.enter_context(socket.create_connection(address, timeout=TIMEOUT_SECONDS))
                connection.sendall(openings[number % len(openings)])
        yield


# What an attempt may end with: the server hangs up, or h2 will not play along any more.
ENDINGS = (OSError, h2.exceptions.H2Error)


def attack(address: tuple[str, int], peer: Peer, rng: random.Random) -> None:
    """Make one attempt, whatever comes of it."""
    with suppress(*ENDINGS):
        peer(address, rng)
