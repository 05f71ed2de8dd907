"""What every test may use: the bundled student, and a real server process on a free port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from relevance_model import Bundle, Scorer, default_bundle_path
from tests.support.job_process import Job
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent

# How fast the machine is at the moment is not what properties are about.
settings.register_profile("qtr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qtr")


@pytest.fixture(scope="session")
def student() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="session")
def scorer(student: Bundle) -> Scorer:
    return Scorer(student)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """Serve the bundled student with default limits; shared, so do not stop it."""
    with ServerProcess() as process:
        yield process


@pytest.fixture
def start_server() -> Iterator[Callable[..., ServerProcess]]:
    """Start servers of one's own: `start_server("--max-rows", "8")`."""
    started: list[ServerProcess] = []

    def start(*flags: str) -> ServerProcess:
        process = ServerProcess(*flags)
        started.append(process)
        return process.__enter__()

    yield start
    for process in started:
        process.__exit__(None, None, None)


@pytest.fixture
def start() -> Iterator[Callable[..., Job]]:
    """Start runs of `qtr label` in processes of their own: `start(flags, command, **env)`."""
    jobs: list[Job] = []

    def start_job(*args: Any, **env: str) -> Job:
        jobs.append(Job(*args, **env))
        return jobs[-1]

    yield start_job
    for job in jobs:
        job.clean_up()
