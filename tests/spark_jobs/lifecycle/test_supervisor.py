"""A run in trouble is cancelled, waited for, and reported by the trouble rather than by what it broke."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from spark_jobs.errors import JobError, RunFailedError, RunInterruptedError, ServerLostError
from spark_jobs.lifecycle.supervisor import Signals, supervised


def no_trouble() -> JobError | None:
    return None


def test_work_without_trouble_gives_its_result() -> None:
    assert supervised(lambda: 7, [no_trouble], lambda: None) == 7


def test_the_works_own_failure_is_raised_here() -> None:
    def work() -> int:
        raise RunFailedError("because")

    with pytest.raises(RunFailedError, match="because"):
        supervised(work, [no_trouble], lambda: None)


def test_trouble_cancels_again_and_again_until_the_work_has_ended() -> None:
    cancels = threading.Semaphore(0)
    ended = threading.Event()

    def work() -> int:
        for _ in range(3):  # a job that starts just after one cancel meets the next
            assert cancels.acquire()
        ended.set()
        raise RuntimeError("job was cancelled")

    with pytest.raises(ServerLostError, match="it died"):
        supervised(work, [no_trouble, lambda: ServerLostError("it died")], cancels.release)
    assert ended.is_set()


def test_a_result_that_trouble_came_too_late_for_stands() -> None:
    cancelled = threading.Event()

    def work() -> str:
        assert cancelled.wait()
        return "published"

    assert supervised(work, [lambda: ServerLostError("it died")], cancelled.set) == "published"


def test_what_cannot_be_undone_is_not_broken_off() -> None:
    published, heard = threading.Event(), threading.Event()

    def trouble() -> JobError:
        heard.set()
        return ServerLostError("it died")

    def work() -> str:
        published.set()
        assert heard.wait()
        raise RunFailedError("the partition is there, but")

    published.set()
    with pytest.raises(RunFailedError, match="the partition is there"):
        supervised(work, [trouble], lambda: pytest.fail("cancelled"), published.is_set)


def test_a_death_that_the_work_noticed_first_is_the_reason() -> None:
    dead = threading.Event()

    def work() -> int:
        dead.set()
        raise RuntimeError("connection refused")

    with pytest.raises(ServerLostError, match="it died"):
        supervised(work, [lambda: ServerLostError("it died") if dead.is_set() else None], lambda: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_an_exception_before_the_run_and_a_note_within(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Signals() as signals:
        with pytest.raises(RunInterruptedError) as caught:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)  # the handler runs between two instructions, at the latest here
        assert caught.value.exit_code == 128 + number
    with Signals() as signals:
        signals.note_only()
        assert signals.trouble() is None
        os.kill(os.getpid(), number)
        noted = signals.trouble()
        assert isinstance(noted, RunInterruptedError)
        assert noted.exit_code == 128 + number
    assert signal.getsignal(number) is before
