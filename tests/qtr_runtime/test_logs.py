"""Logging never blocks, counts the lines that it loses, and limits repeated messages."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtr_runtime import log_writer
from qtr_runtime.log_writer import LogWriter, RepeatLimit
from qtr_runtime.logs import JsonFormatter
from tests.support.stuck_pipe import StuckPipe


@pytest.fixture
def pipe() -> Iterator[StuckPipe]:
    with StuckPipe() as pipe:
        yield pipe


def event(message: str, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "test", "msg": message, "levelno": level, "levelname": "INFO", **fields})


def test_lines_that_nobody_reads_are_dropped_counted_and_told(pipe: StuckPipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "_FLUSH_SECONDS", 0.01)
    with os.fdopen(os.dup(pipe.writable), "w") as stream:
        writer = LogWriter(stream, max_waiting=10_000)
        writer.setFormatter(JsonFormatter())
        for number in range(1000):
            writer.handle(event("hello", logging.DEBUG, number=number))
        writer.flush()  # returns although the reader is stuck
        dropped = writer.dropped
        assert 0 < dropped < 1000
        monkeypatch.setattr(log_writer, "_FLUSH_SECONDS", 60)
        got: list[bytes] = []
        while b"log lines dropped" not in b"".join(got):
            got.append(os.read(pipe.readable, 4096))
        writer.close()
    lines = b"".join(got)[pipe.filled :].decode().splitlines()
    events = [json.loads(line) for line in lines]
    # The first lines are there, in their order; the last one says how many are not.
    numbers = [each["number"] for each in events[:-1]]
    assert numbers[:90] == list(range(90))
    assert numbers == sorted(numbers)
    assert len(numbers) == 1000 - dropped
    assert (events[-1]["msg"], events[-1]["level"], events[-1]["lines"]) == ("log lines dropped", "WARNING", dropped)


def test_a_reader_that_has_left_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with os.fdopen(writable, "w", buffering=1) as stream:
        writer = LogWriter(stream)
        for _ in range(5):
            writer.handle(event("hello"))
        writer.close()
        with pytest.raises(BrokenPipeError):
            stream.write("what is left in the buffer\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writable)
    assert writer.dropped == 5
    assert capsys.readouterr().err == ""


def test_what_is_said_too_often_is_summed_up() -> None:
    now = 0.0
    limit = RepeatLimit(max_repeats=3, seconds=10.0, clock=lambda: now)
    admitted = [limit.admits(event("flood", attempt=number)) for number in range(100)]
    assert sum(admitted) == 3
    assert limit.admits(event("something else"))
    assert all(limit.admits(event("wanted", logging.DEBUG)) for _ in range(100))
    assert limit.left_out() == {}
    assert limit.seconds_left() == 10.0
    now = 10.0
    assert limit.left_out() == {"flood": 97}
    assert limit.seconds_left() is None
    assert limit.admits(event("flood"))


def test_messages_without_number_take_no_memory_without_bound() -> None:
    limit = RepeatLimit(max_repeats=1, clock=lambda: 0.0)
    for number in range(5000):
        limit.admits(event(f"message {number}"))
    assert len(limit.left_out(at_once=True)) == 1


PROGRAM = """
import logging, sys
from qtr_runtime import logs
from qtr_runtime import standard_streams
standard_streams.make_safe()
logs.configure("json", "INFO")
log = logging.getLogger("program")
for number in range(300):
    log.info(f"line {number}")
    print("x" * 100, file=sys.stderr)
print("the descriptors of the streams are taken", [open("/dev/null").fileno() > 2], file=sys.stderr)
raise SystemExit(7)
"""


def test_a_program_ends_with_its_own_status_whoever_reads(tmp_path: Path, pipe: StuckPipe) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program)]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert read.returncode == 7
    assert [json.loads(line)["msg"] for line in read.stdout.splitlines()] == [f"line {n}" for n in range(300)]
    assert read.stderr.endswith("the descriptors of the streams are taken [True]\n")
    assert subprocess.run(command, stdout=pipe.writable, stderr=pipe.writable, check=False).returncode == 7
    closed = ["sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', *command]
    assert subprocess.run(closed, check=False).returncode == 7
    with StuckPipe() as left:
        left.close_reader()
        assert subprocess.run(command, stdout=left.writable, stderr=left.writable, check=False).returncode == 7
