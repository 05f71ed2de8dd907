"""After a failure a run is cancelled and awaited, and the error names the cause, not its consequence."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from spark_jobs.errors import JobError, RunFailedError, RunInterruptedError, ServerLostError
from spark_jobs.lifecycle.supervisor import Signals, supervised


def no_failure() -> JobError | None:
    return None


def test_work_without_failure_returns_its_result() -> None:
    assert supervised(lambda: 7, [no_failure], lambda: None) == 7


def test_an_error_of_the_work_is_raised_in_the_main_thread() -> None:
    def work() -> int:
        raise RunFailedError("because")

    with pytest.raises(RunFailedError, match="because"):
        supervised(work, [no_failure], lambda: None)


def test_a_failure_cancels_repeatedly_until_the_work_has_ended() -> None:
    cancels = threading.Semaphore(0)
    ended = threading.Event()

    def work() -> int:
        for _ in range(3):  # a job that starts just after one cancel meets the next
            assert cancels.acquire()
        ended.set()
        raise RuntimeError("job was cancelled")

    with pytest.raises(ServerLostError, match="it died"):
        supervised(work, [no_failure, lambda: ServerLostError("it died")], cancels.release)
    assert ended.is_set()


def test_a_failure_after_the_work_ended_does_not_change_its_result() -> None:
    cancelled = threading.Event()

    def work() -> str:
        assert cancelled.wait()
        return "published"

    assert supervised(work, [lambda: ServerLostError("it died")], cancelled.set) == "published"


def test_a_run_past_its_commit_is_not_cancelled() -> None:
    published, heard = threading.Event(), threading.Event()

    def failure() -> JobError:
        heard.set()
        return ServerLostError("it died")

    def work() -> str:
        published.set()
        assert heard.wait()
        raise RunFailedError("the partition is there, but")

    published.set()
    with pytest.raises(RunFailedError, match="the partition is there"):
        supervised(work, [failure], lambda: pytest.fail("cancelled"), published.is_set)


def test_the_death_of_a_server_is_the_error_even_if_the_work_failed_first() -> None:
    dead = threading.Event()

    def work() -> int:
        dead.set()
        raise RuntimeError("connection refused")

    with pytest.raises(ServerLostError, match="it died"):
        supervised(work, [lambda: ServerLostError("it died") if dead.is_set() else None], lambda: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_at_once_and_after_defer_it_is_kept(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Signals() as signals:
        with pytest.raises(RunInterruptedError) as caught:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)  # the handler runs between two instructions, at the latest here
        assert caught.value.exit_code == 128 + number
    with Signals() as signals:
        signals.defer()
        assert signals.failure() is None
        os.kill(os.getpid(), number)
        received = signals.failure()
        assert isinstance(received, RunInterruptedError)
        assert received.exit_code == 128 + number
    assert signal.getsignal(number) is before
