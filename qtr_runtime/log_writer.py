"""A log handler that never blocks its caller: a bounded queue, and one thread that writes.

The reader of standard output may be slow, stuck or gone: a log shipper without disk, a paused terminal, a closed pipe.
Only the thread waits for it. Lines that do not fit into the queue are dropped and counted; a line with their number is
written once the reader takes lines again.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic
from typing import Final, TextIO

_MAX_WAITING: Final = 1 << 20
# A slow reader gets the last lines; a stuck one must not keep the program from exiting.
_FLUSH_SECONDS: Final = 2.0
_MAX_REPEATS: Final = 20
_REPEAT_SECONDS: Final = 10.0
_MAX_MESSAGES: Final = 1000
_OTHERS: Final = "other messages"


class LogWriter(logging.Handler):
    """Writes events to a stream on a thread.

    Parameters
    ----------
    stream
        Destination; the process's original standard output is written in UTF-8.
    max_waiting
        Characters that may wait to be written. A line that does not fit is dropped, unless nothing else waits.
    repeats
        Leaves out messages that are logged too often.

    Attributes
    ----------
    dropped
        Lines lost so far, because they did not fit or could not be written.
    stream
        The destination.
    """

    def __init__(self, stream: TextIO, *, max_waiting: int = _MAX_WAITING, repeats: RepeatLimit | None = None) -> None:
        super().__init__()
        self.dropped = 0
        self.stream = stream
        self._unreported = 0
        self._max_waiting = max_waiting
        self._repeats = repeats or RepeatLimit()
        self._lines: deque[str] = deque()
        self._waiting = 0
        self._writing = False
        self._stuck = False
        self._closed = False
        # On the handler's own lock, which is held while an event is emitted.
        self._changed = threading.Condition(self.lock)
        threading.Thread(target=self._work, name="log-writer", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put the event's line into the queue."""
        self._report_repeats()
        if self._repeats.admits(record):
            self._put(record)

    def write(self, text: str) -> None:
        """Put `text` into the queue, unformatted."""
        with self._changed:
            if self._closed or (self._lines and self._waiting + len(text) > self._max_waiting):
                self._lose()
                return
            self._lines.append(text)
            self._waiting += len(text)
            self._changed.notify_all()

    def set_stream(self, stream: TextIO) -> None:
        """Write to `stream` from here on."""
        with self._changed:
            self.flush()
            self.stream = stream

    def flush(self) -> None:
        """Wait until all lines are written, two seconds at most: the reader may be stuck."""
        with self._changed:
            # A reader that was stuck the last time is not waited for.
            seconds = 0.0 if self._stuck else _FLUSH_SECONDS
            self._stuck = not self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def close(self) -> None:
        """Flush, and drop all later lines."""
        with self._changed:
            self._report_repeats(at_once=True)
            self.flush()
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _put(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.write(f"{line}\n")

    def _lose(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _work(self) -> None:
        while (text := self._next()) is not None:
            written = _write(self.stream, text)
            with self._changed:
                self._writing = self._stuck = False
                if not written:
                    self._lose()
                elif self._unreported and not self._lines:
                    self._put(_event("log lines dropped", lines=self._unreported))
                    self._unreported = 0
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            while not self._lines:
                if self._closed:
                    return None
                self._changed.wait(self._repeats.seconds_left())
                self._report_repeats()
            text = self._lines.popleft()
            self._waiting -= len(text)
            self._writing = True
            return text

    def _report_repeats(self, *, at_once: bool = False) -> None:
        for message, lines in self._repeats.left_out(at_once=at_once).items():
            self._put(_event("log lines left out", lines=lines, of=message))


class RepeatLimit:
    """Admits each message at most `max_repeats` times in a period, and counts the rest.

    A message is the text of an event without its fields. DEBUG events are not limited.

    Parameters
    ----------
    max_repeats, seconds
        The number, and the period.
    clock
        The time in seconds.
    """

    def __init__(
        self, max_repeats: int = _MAX_REPEATS, seconds: float = _REPEAT_SECONDS, clock: Callable[[], float] = monotonic
    ) -> None:
        self._max_repeats = max_repeats
        self._seconds = seconds
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._since = clock()

    def admits(self, record: logging.LogRecord) -> bool:
        """Count the event, and return whether it may be written."""
        if record.levelno < logging.INFO:
            return True
        message = str(record.msg)
        if len(self._counts) >= _MAX_MESSAGES and message not in self._counts:
            message = _OTHERS
        self._counts[message] += 1
        return self._counts[message] <= self._max_repeats

    def left_out(self, *, at_once: bool = False) -> dict[str, int]:
        """Return the counts of left-out events by message, and begin a new period; {} while the period lasts."""
        if not at_once and self._clock() - self._since < self._seconds:
            return {}
        lost = {
            message: count - self._max_repeats for message, count in self._counts.items() if count > self._max_repeats
        }
        self._counts.clear()
        self._since = self._clock()
        return lost

    def seconds_left(self) -> float | None:
        """Return the seconds until the counts are reported, or None if nothing was left out."""
        if all(count <= self._max_repeats for count in self._counts.values()):
            return None
        return max(0.0, self._since + self._seconds - self._clock())


def _event(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("qtr_runtime.logs", logging.WARNING, __file__, 0, message, (), None)
    vars(record).update(fields)
    return record


def _write(stream: TextIO, text: str) -> bool:
    """Write `text`, and return whether that succeeded."""
    try:
        if stream is sys.__stdout__:
            _write_bytes(stream.fileno(), text.encode(errors="backslashreplace"))
        else:
            stream.write(text)
            stream.flush()
    except (OSError, ValueError):  # ValueError: the stream is closed
        return False
    return True


def _write_bytes(descriptor: int, data: bytes) -> None:
    """Write past the stream's buffer: a thread that waits in it holds its lock, and the interpreter could not exit."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Another process that shares the descriptor made it non-blocking.
            writable = select.poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()
