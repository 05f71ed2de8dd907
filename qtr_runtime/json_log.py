"""Reading the JSON log of another program: one event per line, as `qtr_runtime.logs` writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def read_event(line: str) -> dict[str, Any]:
    """Return the event in a line, or an empty one if the line is no event.

    Examples
    --------
    >>> read_event('{"level": "INFO", "msg": "serving"}')["msg"]
    'serving'
    >>> read_event("Segmentation fault")
    {}
    """
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def last_error(lines: Sequence[str]) -> str:
    """Return the last error that a program logged, or else the last line that it wrote.

    Examples
    --------
    >>> last_error(['{"level": "ERROR", "msg": "run failed", "error": "no such column: query"}', "bye"])
    'no such column: query'
    >>> last_error(["Killed"])
    'Killed'
    """
    for line in reversed(lines):
        event = read_event(line)
        if event.get("level") in {"ERROR", "CRITICAL"}:
            return str(event.get("error", event.get("msg")))
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
