"""One run at a time for a date of an output, by leases in files.

A run writes its lease, the file `OUTPUT/_locks/run_date=…/<run id>.json`, and *then* lists the folder. If another live
lease is there, it deletes its own. Of two runs, the one that listed last has seen the other's lease, so both can never
hold the lock. Both may yield; then each tries again after a random delay. The storage needs only list-after-write
consistency, which local disks, HDFS, S3, GCS and ABFS have. (Hadoop's `create(overwrite=False)` is exclusive on HDFS
only.) A lease is named by its run, so deleting a dead run's lease can never delete that of a new run.

A heartbeat rewrites `<run id>.alive` every `HEARTBEAT_SECONDS`. Another run's lease is one of three things:

- *dead here*: its process ran on this machine and has ended (`spark_jobs.storage.process_identity`). It is taken over
  at once.
- *alive here*: its process is seen on this machine. The new run tries a few times, then raises `DateTakenError`.
- *unknown*: it runs elsewhere, or its process cannot be seen. The new run waits for the next heartbeat, and raises
  `DateTakenError` when it comes. Without one, the lease ends `LEASE_SECONDS` after the last heartbeat, by the
  storage's clock, and is taken over: a pod that replaces a killed one continues its work. If that clock was set back,
  the heartbeat lies in the future; then the lease ends after `LEASE_SECONDS` of waiting.

A run whose lease was taken over (it was suspended, or cut off from the storage) finds its lease file missing and ends
before it publishes. Between its last check and the rename that publishes there are milliseconds that no file system
can guard. The partition published then is still one run's whole partition, never a mixture of two.

A run that takes over records the ids of the dead runs in its own lease before it deletes theirs, so that cleaning up
survives a second crash. Lease files may have been written by others: whatever is not a run id in them is ignored.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass

from py4j.protocol import Py4JError

from spark_jobs.errors import DateTakenError, JobError
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.lease import describe_lease, lease_text, parse_lease, recorded_dead
from spark_jobs.storage.paths import require_below
from spark_jobs.storage.process_identity import is_alive
from spark_jobs.storage.run_ids import is_run_id

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0
_ATTEMPTS = 4


@dataclass(frozen=True)
class _Holder:
    """Another run with a live lease: the time of its last heartbeat, and whether its process is seen alive here."""

    run_id: str
    description: str
    heartbeat_ms: int
    silent_seconds: float
    alive_here: bool


class RunLock:
    """The lock of one date of one output; a context manager.

    Parameters
    ----------
    filesystem
        The file system of the output.
    folder
        Folder of the lease files for this date alone, two names below the output: `OUTPUT/_locks/run_date=…`.
    run_id
        Names the lease file.
    what
        What is locked, for messages: `run_date 2026-11-01 of out`.
    heartbeat_seconds, lease_seconds
        Seconds between heartbeats, and without one until a lease ends.
    """

    def __init__(
        self,
        filesystem: HadoopFileSystem,
        folder: str,
        run_id: str,
        what: str,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._output = folder.rsplit("/", 2)[0] or "/"
        self._run_id = run_id
        self._what = what
        self._heartbeat_seconds = heartbeat_seconds
        self._lease_seconds = lease_seconds
        self._released = threading.Event()
        self._cancelled = threading.Event()
        self._lost = False
        # The last heartbeat of each run that sent none during a whole lease.
        self._silent: dict[str, int] = {}
        self._heartbeat = threading.Thread(target=self._send_heartbeats, name="lock", daemon=True)
        self.dead_runs: list[str] = []
        """Ids of the dead runs that held the lock before: what they left half done may be cleaned up."""

    def __enter__(self) -> RunLock:
        """Acquire the lock."""
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.release()

    def acquire(self) -> None:
        """Write the lease, take over from dead runs, and start the heartbeat.

        Raises
        ------
        DateTakenError
            If another run holds the lock; the sentence names it.
        OutsideError
            If a symbolic link leads out of the output.
        """
        require_below(self._lease_file(self._run_id), self._output)
        for attempt in range(_ATTEMPTS):
            self._write_lease()
            try:
                holder, dead = self._other_leases()
                if holder is None:
                    self._take_over(dead)
                    self._heartbeat.start()
                    return
            except BaseException:
                self._delete_lease(self._run_id)
                raise
            self._delete_lease(self._run_id)
            if not holder.alive_here:
                self._wait_for_heartbeat(holder)
            elif attempt + 1 < _ATTEMPTS:
                time.sleep(random.uniform(0.05, 0.5))
        assert holder is not None
        raise self._held_by(holder)

    def release(self) -> None:
        """Stop the heartbeat and delete the lease."""
        self._released.set()
        self._heartbeat.join()
        self._delete_lease(self._run_id)
        self._filesystem.delete_if_empty(self._folder)
        self._filesystem.delete_if_empty(self._folder.rsplit("/", 1)[0])

    def failure(self) -> JobError | None:
        """Return the error that ends the run once its lease is lost, else `None`."""
        return self._lease_lost() if self._lost else None

    def check(self) -> None:
        """Make sure that the run still holds the lock.

        Raises
        ------
        DateTakenError
            If its lease has ended and another run may have begun.
        """
        if self._lost or not self._filesystem.exists(self._lease_file(self._run_id)):
            raise self._lease_lost()

    def cancel(self) -> None:
        """End a wait in `acquire`; may be called from any thread."""
        self._cancelled.set()

    def _wait_for_heartbeat(self, holder: _Holder) -> None:
        """Return when the holder has released the lock or its lease has ended.

        Raises
        ------
        DateTakenError
            As soon as a heartbeat comes, or the wait is cancelled.
        """
        log.info(
            "waiting for another run's heartbeat",
            extra={"other": holder.description, "most_seconds": round(self._lease_seconds)},
        )
        until = time.monotonic() + self._lease_seconds - holder.silent_seconds
        while time.monotonic() < until:
            if self._cancelled.wait(self._heartbeat_seconds / 5):
                raise self._held_by(holder)
            seen = self._last_heartbeat_ms(holder.run_id)
            if seen is None:
                return
            if seen != holder.heartbeat_ms:
                raise self._held_by(holder)
        self._silent[holder.run_id] = holder.heartbeat_ms

    def _held_by(self, holder: _Holder) -> DateTakenError:
        return DateTakenError(
            f"{self._what} is being labelled by another run: {holder.description}; if it is dead, its lease ends "
            f"{self._lease_seconds:g} s after its last heartbeat"
        )

    def _lease_lost(self) -> DateTakenError:
        return DateTakenError(
            f"{self._what} was taken over: this run sent no heartbeat for {self._lease_seconds:g} s; nothing was "
            "published"
        )

    def _send_heartbeats(self) -> None:
        while not self._released.wait(self._heartbeat_seconds):
            try:
                if not self._filesystem.exists(self._lease_file(self._run_id)):
                    self._lost = True
                    return
                self._filesystem.write_text(self._heartbeat_file(self._run_id), "")
            except (Py4JError, OSError):
                # The storage may answer again at the next heartbeat. If not, the check before publishing fails too.
                continue

    def _write_lease(self) -> None:
        self._filesystem.write_text(self._lease_file(self._run_id), lease_text(self._run_id, self.dead_runs))
        self._filesystem.write_text(self._heartbeat_file(self._run_id), "")

    def _other_leases(self) -> tuple[_Holder | None, list[str]]:
        """Return the run that holds the lock; if there is none, the dead runs whose leases are still there.

        `dead_runs` gets these and the ones that they had taken over from.
        """
        now = self._filesystem.modified_ms(self._heartbeat_file(self._run_id))
        leases: list[str] = []
        dead: list[str] = []
        for name in self._filesystem.names(self._folder):
            run_id, kind = name.rpartition(".")[::2]
            if kind != "json" or run_id == self._run_id or not is_run_id(run_id):
                continue
            lease = parse_lease(self._filesystem.read_text(self._lease_file(run_id)))
            seen = self._last_heartbeat_ms(run_id)
            if seen is None or now is None:
                continue  # released meanwhile
            silent_seconds = max(0.0, (now - seen) / 1000)
            alive = is_alive(lease.get("process"))
            ended = silent_seconds > self._lease_seconds or self._silent.get(run_id) == seen
            if not ended and alive is not False:
                description = describe_lease(run_id, lease, silent_seconds)
                return _Holder(run_id, description, seen, silent_seconds, alive is True), []
            leases.append(run_id)
            dead += [*recorded_dead(lease), run_id]
        self.dead_runs = list(dict.fromkeys(dead))
        return None, leases

    def _last_heartbeat_ms(self, run_id: str) -> int | None:
        heartbeat = self._filesystem.modified_ms(self._heartbeat_file(run_id))
        return heartbeat or self._filesystem.modified_ms(self._lease_file(run_id))

    def _take_over(self, dead: list[str]) -> None:
        if dead:
            # Before their leases are deleted: if this run is killed in between, the next one sees both.
            self._write_lease()
        for run_id in dead:
            self._delete_lease(run_id)

    def _delete_lease(self, run_id: str) -> None:
        self._filesystem.delete(self._lease_file(run_id), below=self._output)
        self._filesystem.delete(self._heartbeat_file(run_id), below=self._output)

    def _lease_file(self, run_id: str) -> str:
        return f"{self._folder}/{run_id}.json"

    def _heartbeat_file(self, run_id: str) -> str:
        return f"{self._folder}/{run_id}.alive"
