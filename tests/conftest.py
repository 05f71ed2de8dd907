"""What every test may use: the bundled student, and a real server process on a free port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from relevance_model import Bundle, Scorer, default_bundle_path
from tests.support.job_process import Job
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent

# How fast the machine is at the moment is not what properties are about.
settings.register_profile("qtr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qtr")

# What `make test` leaves out, and why. The rest still starts real servers, a Spark run with servers of its own, our
# client, grpcurl and tritonclient.
LONG = {
    "tests/chaos/": "kills, freezes and restarts servers and runs, again and again",
    "tests/cluster/": "needs a cluster",
    "tests/discovery/": "starts many servers, and waits for connections to end",
    "tests/distillation/encoder/test_base_encoder.py::test_an_encoder_without_segments": "trains a teacher",
    "tests/distillation/steps/test_pseudo_label.py": "trains a teacher, and starts servers of it",
    "tests/distillation/steps/test_run.py": "runs every step of a recipe, with training",
    "tests/distillation/test_training_loop.py::test_a_killed_step": "trains, is killed, trains again",
    "tests/grpc_server/core/test_reload.py::test_swaps_with_full_caches": "six swaps, each with a full cache",
    "tests/grpc_server/core/test_pauses.py": "stops a server for seconds at a time",
    "tests/grpc_server/transport/test_hostile.py": "hostile peers for 12 s",
    "tests/grpc_server/transport/test_memory.py::test_hostile_peers": "fills a server's memory",
    "tests/spark_jobs/lifecycle/test_environment.py::test_a_run_takes_nothing": "a Spark of its own",
    "tests/spark_jobs/lifecycle/test_processes.py::test_a_run_is_published": "a Spark of its own each",
    "tests/spark_jobs/lifecycle/test_processes.py::test_a_run_with_embedded_servers_and_a_clean_terminal[spark": (
        "a second Spark of its own; the run of the module stays"
    ),
    "tests/spark_jobs/lifecycle/test_processes.py::test_a_failure_while_scoring": "a Spark of its own each",
    "tests/spark_jobs/lifecycle/test_scale_up.py::test_a_driver_pod": "a Spark of its own",
    "tests/spark_jobs/lifecycle/test_standalone.py": "a Spark cluster of four processes",
    "tests/spark_jobs/test_run.py::test_tables_and_other_formats[orc]": "five runs; those with tables stay",
    "tests/test_packaging.py": "builds and installs the wheel",
    "tests/test_readme.py::test_a_block_runs": "runs every command of the pages, Spark among them",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long tests, and put the files that need Spark first: they take longest, and the rest fills the gaps."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/spark_jobs/"))
    for item in items:
        if item.nodeid.startswith(tuple(LONG)):
            item.add_marker(pytest.mark.long)


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

    def start_job(flags: list[str], command: list[str] | None = None, **env: str) -> Job:
        jobs.append(Job(flags, command, **env))
        return jobs[-1]

    yield start_job
    for job in jobs:
        job.clean_up()
