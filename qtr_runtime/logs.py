"""Logs on standard output: one JSON object per event, or readable text on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from qtr_runtime.log_writer import LogWriter

LogFormat = Literal["auto", "json", "text"]

# The attributes that every LogRecord has; all others come from `extra` and are fields of the event.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def as_json(log_format: LogFormat) -> bool:
    """Return whether logs are JSON: `auto` means text on a terminal, JSON elsewhere."""
    return log_format == "json" or (log_format == "auto" and not sys.stdout.isatty())


def configure(log_format: LogFormat, level: str) -> None:
    """Write the events of all loggers to standard output in `log_format`; no logging call waits for its reader."""
    before = _writers()
    writer = LogWriter(sys.stdout)
    writer.setFormatter(JsonFormatter() if as_json(log_format) else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level)
    for each in before:
        each.close()


def write(text: str) -> None:
    """Write `text` to standard output after the events so far, in the same way."""
    for writer in _writers():
        writer.write(text)


def flush() -> None:
    """Wait until the events so far are written; at most two seconds, in case the reader is stuck."""
    for writer in _writers():
        writer.flush()


def set_stream(stream: TextIO) -> None:
    """Write events to `stream` from here on."""
    for writer in _writers():
        writer.set_stream(stream)


def dropped() -> int:
    """Return the number of lines lost because standard output was not read."""
    return sum(writer.dropped for writer in _writers())


def _writers() -> list[LogWriter]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogWriter)]


def _event(record: logging.LogRecord) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event: dict[str, object] = {
        "ts": moment,
        "level": record.levelname,
        "logger": record.name,
        "msg": record.getMessage(),
    }
    event |= {key: value for key, value in vars(record).items() if key not in _OWN}
    return event


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `ts` (UTC), `level`, `logger`, `msg`, then the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = _event(record)
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`time level logger msg key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        event = _event(record)
        head = f"{event.pop('ts')} {event.pop('level'):<7} {event.pop('logger')}: {event.pop('msg')}"
        line = " ".join([head, *(f"{key}={value}" for key, value in event.items())])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
