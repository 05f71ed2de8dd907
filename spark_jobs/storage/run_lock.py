"""One run at a time for a date of an output.

A run raises its own flag, a small file `OUTPUT/_locks/run_date=…/<run id>.json`, and *then* looks for others'.
Whoever sees another's takes its own down again. Of two runs, the one that looked last has seen the other's flag, so
both can never go on; that both give way is possible, and each tries again after a moment of its own. Unlike a single
lock file that is created exclusively, this needs nothing from the storage but that a listing shows what was written
before it: local disks, HDFS, S3, GCS and ABFS all do. (Hadoop's `create(overwrite=False)` is exclusive on HDFS only.)
And a dead run's flag has a name of its own, so deleting it can never delete that of a run which has just begun.

A flag is alive as long as its file `<run id>.alive` is written again every `BEAT_SECONDS` seconds. It is dead after
`LEASE_SECONDS` without, by the clock of the storage and not of some machine; or at once if its process is known to be gone
(`spark_jobs.storage.process_identity`). Of a run elsewhere, or one that cannot be seen from here, nobody can tell: whoever
meets its flag waits for its next beat, or until the lease is over, so that a pod which replaces one that was drained or
killed goes on with its night. A run that was taken for dead (stopped for minutes, or cut off from the storage) finds
its flag missing and ends before it publishes. Between this last look and the renaming of a folder there are
milliseconds which no file system can guard; what would be published then is a whole night all the same, never a mixture
of two.

Who takes a date over notes in its own flag whose flags it takes down: should it die before it has cleaned up after
them, the next one knows of all of them. Flags are files that others may have written: what is no run's id in them is
passed over.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import random
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]

from spark_jobs.errors import DateTakenError, JobError
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.process_identity import lives, process_identity
from spark_jobs.storage.run_ids import is_run_id

log = logging.getLogger("spark_jobs")

BEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0
_TRIES = 4
_MOST_SHOWN = 64


@dataclass(frozen=True)
class _Holder:
    """A run whose flag is up: `seen_ms` is its last sign of life, and `here` whether its process is known to live."""

    run_id: str
    text: str
    seen_ms: int
    silent_seconds: float
    here: bool


class RunLock:
    """The right to work on one date of one output, while it is entered.

    Parameters
    ----------
    storage
        Where the output is.
    folder
        Folder of the flags, for this date alone.
    run_id
        Names the flag.
    what
        What is locked, for messages: `run_date 2026-11-01 of out`.
    beat_seconds, lease_seconds
        Seconds between signs of life, and without one until a flag is dead.
    """

    def __init__(
        self,
        storage: HadoopFileSystem,
        folder: str,
        run_id: str,
        what: str,
        *,
        beat_seconds: float = BEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._run_id = run_id
        self._what = what
        self._beat_seconds = beat_seconds
        self._lease_seconds = lease_seconds
        self._released = threading.Event()
        self._given_up = threading.Event()
        self._lost = False
        self._heart = threading.Thread(target=self._beat, name="lock", daemon=True)
        self.dead: list[str] = []
        """Ids of the dead runs that had the lock before: what they had begun may be cleaned up."""

    def __enter__(self) -> RunLock:
        """Take it.

        Raises
        ------
        DateTakenError
            If another run has it; the sentence says which.
        """
        for attempt in range(_TRIES):
            self._raise_flag()
            try:
                holder, flags = self._others()
                if holder is None:
                    self._inherit(flags)
                    self._heart.start()
                    return self
            except BaseException:
                self._take_down(self._run_id)
                raise
            self._take_down(self._run_id)
            if not holder.here:
                self._wait_for_sign(holder)
            elif attempt + 1 < _TRIES:
                time.sleep(random.uniform(0.05, 0.5))
        assert holder is not None
        raise self._held_by(holder)

    def __exit__(self, *_: object) -> None:
        """Return it back."""
        self._released.set()
        self._heart.join()
        self._take_down(self._run_id)
        self._storage.delete_if_empty(self._folder)
        self._storage.delete_if_empty(self._folder.rsplit("/", 1)[0])

    def trouble(self) -> JobError | None:
        """Return the error that ends the run, once it has been taken for dead."""
        return self._taken() if self._lost else None

    def check(self) -> None:
        """Make sure that the run still has the right.

        Raises
        ------
        DateTakenError
            If it was taken for dead and another run may have begun.
        """
        if self._lost or not self._storage.exists(self._flag(self._run_id)):
            raise self._taken()

    def give_up(self) -> None:
        """End the wait for another run, if there is one; from any thread."""
        self._given_up.set()

    def _wait_for_sign(self, holder: _Holder) -> None:
        """Return when the run has given the date back, or its lease is over; raise as soon as it is seen to live."""
        log.info(
            "waiting whether another run lives",
            extra={"other": holder.text, "most_seconds": round(self._lease_seconds)},
        )
        until = time.monotonic() + self._lease_seconds - holder.silent_seconds
        while time.monotonic() < until:
            if self._given_up.wait(self._beat_seconds / 5):
                raise self._held_by(holder)
            seen = self._seen_ms(holder.run_id)
            if seen is None:
                return
            if seen != holder.seen_ms:
                raise self._held_by(holder)

    def _held_by(self, holder: _Holder) -> DateTakenError:
        return DateTakenError(
            f"{self._what} is being labelled by another run: {holder.text}; a dead run gives the date free "
            f"{self._lease_seconds:g} s after its last sign of life"
        )

    def _taken(self) -> DateTakenError:
        return DateTakenError(
            f"{self._what} was taken over: this run gave no sign of life for {self._lease_seconds:g} s; nothing was published"
        )

    def _beat(self) -> None:
        while not self._released.wait(self._beat_seconds):
            try:
                if not self._storage.exists(self._flag(self._run_id)):
                    self._lost = True
                    return
                self._storage.write_text(self._alive(self._run_id), "")
            except (Py4JError, OSError):
                # The storage does not answer: perhaps it will at the next beat. If not, the last look before
                # publishing fails as well.
                continue

    def _raise_flag(self) -> None:
        owner = {
            "run_id": self._run_id,
            "user": _user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": process_identity(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "dead": self.dead,
        }
        self._storage.write_text(self._flag(self._run_id), json.dumps(owner))
        self._storage.write_text(self._alive(self._run_id), "")

    def _others(self) -> tuple[_Holder | None, list[str]]:
        """Find the run that has the lock, or the flags of dead ones, whose ids are noted in `dead`."""
        now = self._storage.modified_ms(self._alive(self._run_id))
        flags: list[str] = []
        dead: list[str] = []
        for name in self._storage.names(self._folder):
            run_id, kind = name.rpartition(".")[::2]
            if kind != "json" or run_id == self._run_id or not is_run_id(run_id):
                continue
            owner = _parsed(self._storage.read_text(self._flag(run_id)))
            seen = self._seen_ms(run_id)
            if seen is None or now is None:
                continue  # it has just gone
            silent_seconds = max(0.0, (now - seen) / 1000)
            alive = lives(owner.get("process"))
            if silent_seconds <= self._lease_seconds and alive is not False:
                return _Holder(
                    run_id, _described(run_id, owner, silent_seconds), seen, silent_seconds, alive is True
                ), []
            flags.append(run_id)
            dead += [*_noted(owner), run_id]
        self.dead = list(dict.fromkeys(dead))
        return None, flags

    def _seen_ms(self, run_id: str) -> int | None:
        return self._storage.modified_ms(self._alive(run_id)) or self._storage.modified_ms(self._flag(run_id))

    def _inherit(self, flags: list[str]) -> None:
        if flags:
            # Before the flags are gone: killed in between, the next run sees both.
            self._raise_flag()
        for run_id in flags:
            self._take_down(run_id)

    def _take_down(self, run_id: str) -> None:
        self._storage.delete(self._flag(run_id), below=self._folder)
        self._storage.delete(self._alive(run_id), below=self._folder)

    def _flag(self, run_id: str) -> str:
        return f"{self._folder}/{run_id}.json"

    def _alive(self, run_id: str) -> str:
        return f"{self._folder}/{run_id}.alive"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())


def _noted(owner: dict[str, Any]) -> list[str]:
    """Return the ids of the runs that a flag's run had taken the date over from."""
    noted = owner.get("dead")
    return [run_id for run_id in noted if is_run_id(run_id)] if isinstance(noted, list) else []


def _parsed(text: str) -> dict[str, Any]:
    # Empty while it is being written.
    try:
        owner = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _described(run_id: str, owner: dict[str, Any], silent_seconds: float) -> str:
    if not owner:
        return f"{run_id}, last sign of life {silent_seconds:.0f} s ago"
    user, host, pid, since = (_printable(owner.get(name)) for name in ("user", "host", "pid", "since"))
    return f"{run_id} ({user}@{host}, process {pid}, since {since}, last sign of life {silent_seconds:.0f} s ago)"


def _printable(value: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(value)[:_MOST_SHOWN])
