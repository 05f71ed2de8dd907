"""A log handler that never makes its caller wait: a bounded queue, and one thread that writes.

Whoever reads standard output may be slow, stuck or gone: a log shipper without disk, a paused terminal, a closed pipe.
The thread waits for it, or gets the error; the program only ever puts a line into the queue. Lines that do not fit are
dropped and counted, and one line says how many once the reader takes lines again.
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

_MOST_WAITING: Final = 1 << 20
# A slow reader may have the last lines; a stuck one must not keep the program from ending.
_FLUSH_SECONDS: Final = 2.0
_MOST_REPEATS: Final = 20
_REPEAT_SECONDS: Final = 10.0
_MOST_MESSAGES: Final = 1000
_OTHERS: Final = "other messages"


class LogWriter(logging.Handler):
    """Writes events to a stream, on a thread of its own.

    Parameters
    ----------
    stream
        Where to; in UTF-8 if it is the standard output that the process began with.
    most_waiting
        Characters that may wait to be written; a line that does not fit is dropped, unless nothing else waits.
    repeats
        Leaves out what is said too often.

    Attributes
    ----------
    dropped
        Lines lost so far, because they did not fit or could not be written.
    stream
        Where lines go.
    """

    def __init__(
        self, stream: TextIO, *, most_waiting: int = _MOST_WAITING, repeats: RepeatLimit | None = None
    ) -> None:
        super().__init__()
        self.dropped = 0
        self.stream = stream
        self._untold = 0
        self._most_waiting = most_waiting
        self._repeats = repeats or RepeatLimit()
        self._lines: deque[str] = deque()
        self._waiting = 0
        self._writing = False
        self._stuck = False
        self._closed = False
        # Over the handler's own lock, which is held whenever an event is emitted.
        self._changed = threading.Condition(self.lock)
        threading.Thread(target=self._work, name="log-writer", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put the event's line into the queue."""
        self._tell_repeats()
        if self._repeats.admits(record):
            self._put(record)

    def write(self, text: str) -> None:
        """Put `text` into the queue as it is, after the lines that wait there."""
        with self._changed:
            if self._closed or (self._lines and self._waiting + len(text) > self._most_waiting):
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
        """Wait until all is written, but not for long: the reader may be stuck."""
        with self._changed:
            # Who has not read in that time already is not waited for again.
            seconds = 0.0 if self._stuck else _FLUSH_SECONDS
            self._stuck = not self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def close(self) -> None:
        """Write what waits, as `flush` does, and no more."""
        with self._changed:
            self._tell_repeats(at_once=True)
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
        self._untold += 1

    def _work(self) -> None:
        while (text := self._next()) is not None:
            written = _write(self.stream, text)
            with self._changed:
                self._writing = self._stuck = False
                if not written:
                    self._lose()
                elif self._untold and not self._lines:
                    self._put(_event("log lines dropped", lines=self._untold))
                    self._untold = 0
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            while not self._lines:
                if self._closed:
                    return None
                self._changed.wait(self._repeats.seconds_left())
                self._tell_repeats()
            text = self._lines.popleft()
            self._waiting -= len(text)
            self._writing = True
            return text

    def _tell_repeats(self, *, at_once: bool = False) -> None:
        for message, lines in self._repeats.left_out(at_once=at_once).items():
            self._put(_event("log lines left out", lines=lines, of=message))


class RepeatLimit:
    """Admits each message so many times in a period, and counts the rest.

    A message is the words of an event without its fields. DEBUG is not limited: who asks for it wants all of it.

    Parameters
    ----------
    most, seconds
        Times, and the period.
    clock
        The time in seconds.
    """

    def __init__(
        self, most: int = _MOST_REPEATS, seconds: float = _REPEAT_SECONDS, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._since = clock()

    def admits(self, record: logging.LogRecord) -> bool:
        """Count the event, and say whether it may be written."""
        if record.levelno < logging.INFO:
            return True
        message = str(record.msg)
        if len(self._counts) >= _MOST_MESSAGES and message not in self._counts:
            message = _OTHERS
        self._counts[message] += 1
        return self._counts[message] <= self._most

    def left_out(self, *, at_once: bool = False) -> dict[str, int]:
        """Return how often each message was left out in a period that is over, and begin another; else nothing."""
        if not at_once and self._clock() - self._since < self._seconds:
            return {}
        lost = {message: count - self._most for message, count in self._counts.items() if count > self._most}
        self._counts.clear()
        self._since = self._clock()
        return lost

    def seconds_left(self) -> float | None:
        """Return the time until there is something to tell; `None` if nothing was left out."""
        if all(count <= self._most for count in self._counts.values()):
            return None
        return max(0.0, self._since + self._seconds - self._clock())


def _event(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("qtr_runtime.logs", logging.WARNING, __file__, 0, message, (), None)
    vars(record).update(fields)
    return record


def _write(stream: TextIO, text: str) -> bool:
    """Write `text` and say whether that worked."""
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
    """Write past the stream's buffer: who waits in it holds its lock, and the interpreter could not end."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Another process that has the descriptor as well has made it so.
            writable = select.poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()
