"""What a lease file says: which run holds the lock, and which dead runs it took over from.

Anybody who can write to the output can write such a file, so nothing in it is trusted: what is no run id is ignored,
and what is shown is cut and stripped of control characters.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from spark_jobs.storage.process_identity import process_identity
from spark_jobs.storage.run_ids import is_run_id

_MAX_SHOWN_CHARACTERS = 64


def lease_text(run_id: str, dead_runs: Sequence[str]) -> str:
    """Return the lease of a run in this process, as JSON.

    Parameters
    ----------
    run_id
        The run.
    dead_runs
        Ids of the runs that it took over from.
    """
    return json.dumps(
        {
            "run_id": run_id,
            "user": _user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": process_identity(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "dead": list(dead_runs),
        }
    )


def parse_lease(text: str) -> dict[str, Any]:
    """Return the fields of a lease file; empty if it is no JSON object, as while it is being written."""
    try:
        lease = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return lease if isinstance(lease, dict) else {}


def recorded_dead(lease: dict[str, Any]) -> list[str]:
    """Return the ids of the runs that the lease's run had taken over from.

    Examples
    --------
    >>> recorded_dead({"dead": ["a1", "../../b", 5]})
    ['a1']
    """
    recorded = lease.get("dead")
    return [run_id for run_id in recorded if is_run_id(run_id)] if isinstance(recorded, list) else []


def describe_lease(run_id: str, lease: dict[str, Any], silent_seconds: float) -> str:
    """Return who holds a lease and when the last heartbeat was, for messages.

    Examples
    --------
    >>> describe_lease("a1", {"user": "eva", "host": "h1", "pid": 7, "since": "2026-11-01T00:00:00+00:00"}, 3.2)
    'a1 (eva@h1, process 7, since 2026-11-01T00:00:00+00:00, last heartbeat 3 s ago)'
    >>> describe_lease("a1", {}, 3.2)
    'a1, last heartbeat 3 s ago'
    """
    if not lease:
        return f"{run_id}, last heartbeat {silent_seconds:.0f} s ago"
    user, host, pid, since = (_printable(lease.get(name)) for name in ("user", "host", "pid", "since"))
    return f"{run_id} ({user}@{host}, process {pid}, since {since}, last heartbeat {silent_seconds:.0f} s ago)"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())


def _printable(value: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(value)[:_MAX_SHOWN_CHARACTERS])
