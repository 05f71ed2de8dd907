"""What happens to servers and to the network while batches are scored; every row is compared with a quiet run.

Real `grpc_server` processes with the shipped student; the core function of the job, without Spark, and once with it.
"""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grpc_client import FAILED, ClientConfig, RetryPolicy, shared_client
from relevance_model import Scorer
from spark_jobs import score_record_batches
from tests.support.kept_alive import KeptAlive
from tests.support.kubernetes_api import KubernetesApi
from tests.support.scrape import read_metrics
from tests.support.server_process import ServerProcess
from tests.support.small_bundles import poisonable
from tests.support.tcp_proxy import TcpProxy

PATIENT = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.05, max_backoff_seconds=1.0)
ROWS = 512


def distinct_pairs(count: int) -> list[tuple[str, str]]:
    words = ["usb", "cable", "kettle", "red", "shoes", "phone", "case", "steel", "2m", "lamp", "desk", "for", "kids"]
    rng = random.Random(7)
    return [(" ".join(rng.choices(words, k=2)), " ".join(rng.choices(words, k=6)) + f" {n}") for n in range(count)]


PAIRS = distinct_pairs(4 * ROWS)


@pytest.fixture(scope="module")
def quiet(scorer: Scorer) -> dict[tuple[str, str], tuple[float, str]]:
    """What an undisturbed run gives each pair."""
    found = scorer.score_texts([query for query, _ in PAIRS], [title for _, title in PAIRS])
    labels = scorer.bundle.manifest.labels
    return {
        pair: (float(score), labels[label])
        for pair, score, label in zip(PAIRS, found.scores, found.labels, strict=True)
    }


class Night:
    """Scores batches for as long as faults happen, and looks at every row that comes back."""

    def __init__(self, target: str, quiet: dict[tuple[str, str], tuple[float, str]], **config: Any) -> None:
        self.config = ClientConfig(target, retry=PATIENT, deadline_seconds=60, max_rows_per_rpc=64, **config)
        self._quiet = quiet
        self._over = threading.Event()
        self._progress = threading.Condition()
        self.rows = 0

    def through(self, faults: Callable[[Night], None], least_batches: int = 6) -> None:
        """Score while `faults` runs on another thread, and some batches more."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                faults(self)
            except BaseException as error:
                errors.append(error)
            finally:
                self._over.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        expected = itertools.count()
        for scored in score_record_batches(self._batches(least_batches), self.config):
            for row in scored.to_pylist():
                assert row["id"] == next(expected)
                score, label = self._quiet[row["query"], row["title"]]
                assert (row["status"], row["error"], row["label"]) == ("OK", None, label)
                assert row["score"] == pytest.approx(score, abs=1e-5)
            with self._progress:
                self.rows += scored.num_rows
                self._progress.notify_all()
        thread.join()
        assert not errors, errors
        assert next(expected) == self._sent

    def wait_for_more(self, rows: int = ROWS) -> None:
        """Wait until so many more rows have come back."""
        with self._progress:
            until = self.rows + rows
            assert self._progress.wait_for(lambda: self.rows >= until)

    def _batches(self, least: int) -> Iterator[pa.RecordBatch]:
        self._sent = 0
        for number in itertools.count():
            if self._over.is_set() and number >= least:
                return
            pairs = PAIRS[(number % 4) * ROWS :][:ROWS]
            ids = range(self._sent, self._sent + len(pairs))
            self._sent += len(pairs)
            columns = [pa.array(ids), pa.array([q for q, _ in pairs]), pa.array([t for _, t in pairs])]
            yield pa.RecordBatch.from_arrays(columns, names=["id", "query", "title"])


def serve(port: int = 0, *flags: str) -> ServerProcess:
    return ServerProcess("--port", str(port), "--threads", "1", "--drain-seconds", "1", *flags)


def handled(server: ServerProcess) -> float:
    values = read_metrics(server.metrics_address).values("grpc_server_handled_total", grpc_method="ScoreBatch")
    return sum(values)


def test_a_killed_server_that_comes_back(quiet: dict[tuple[str, str], tuple[float, str]]) -> None:
    with KeptAlive(serve) as server:

        def faults(night: Night) -> None:
            night.wait_for_more()
            server.kill()
            server.wait_for_start(2)
            night.wait_for_more()

        Night(server.address, quiet).through(faults)


def test_twenty_kills_in_a_row(quiet: dict[tuple[str, str], tuple[float, str]]) -> None:
    with KeptAlive(serve) as one, KeptAlive(serve) as two:

        def faults(night: Night) -> None:
            for number in range(10):
                for server in (one, two):
                    night.wait_for_more(64)
                    server.kill()
                server.wait_for_start(number + 2)

        night = Night(f"ipv4:{one.address},{two.address}", quiet)
        night.through(faults)
        assert one.starts + two.starts >= 20
        with shared_client(night.config) as client:
            assert client.stats().failed_rows == 0


def test_one_of_three_servers_is_frozen(quiet: dict[tuple[str, str], tuple[float, str]]) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serve()) for _ in range(3)]
        frozen = servers[1].process

        def faults(night: Night) -> None:
            night.wait_for_more(4 * ROWS)
            frozen.send_signal(signal.SIGSTOP)
            try:
                night.wait_for_more(8 * ROWS)
            finally:
                frozen.send_signal(signal.SIGCONT)
            before = handled(servers[1])
            while handled(servers[1]) <= before + 5:  # it gets its share again
                night.wait_for_more(64)

        Night(f"ipv4:{','.join(server.address for server in servers)}", quiet).through(faults)


def test_a_fourth_server_is_added_and_the_first_removed(
    quiet: dict[tuple[str, str], tuple[float, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KubernetesApi() as api, ExitStack() as stack:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
        servers = [stack.enter_context(serve()) for _ in range(3)]
        for number, server in enumerate(servers):
            api.set_endpoints([server.address], name=f"relevance-{number}")
        night = Night("k8s:///search/relevance:grpc", quiet)

        def faults(night: Night) -> None:
            night.wait_for_more()
            fourth = stack.enter_context(serve())
            others = sum(map(handled, servers))
            api.set_endpoints([fourth.address], name="relevance-3")
            while handled(fourth) < 20:
                night.wait_for_more(64)
            # A quarter of the calls is its share; those before it was known are the others'.
            assert sum(map(handled, servers)) - others < 20 * 12
            api.set_endpoints([], name="relevance-0")
            servers[0].process.send_signal(signal.SIGTERM)
            night.wait_for_more(2 * ROWS)
            assert servers[0].process.wait() == 0

        night.through(faults)
        with shared_client(night.config) as client:
            assert client.stats().failed_rows == 0


def test_connections_reset_and_five_seconds_of_nothing(quiet: dict[tuple[str, str], tuple[float, str]]) -> None:
    with serve() as server, TcpProxy(server.address) as proxy:

        def faults(night: Night) -> None:
            for _ in range(3):
                night.wait_for_more()
                proxy.reset()
            night.wait_for_more()
            proxy.swallow()
            time.sleep(5)  # the fault itself
            proxy.deliver()
            night.wait_for_more()

        Night(proxy.address, quiet).through(faults)


def test_an_overloaded_service_refuses_and_loses_nothing(quiet: dict[tuple[str, str], tuple[float, str]]) -> None:
    with serve(0, "--max-queued-tokens", "2500") as server:
        night = Night(server.address, quiet, in_flight=32)

        def faults(night: Night) -> None:
            with shared_client(night.config) as client:
                while client.stats().refused < 5:
                    night.wait_for_more(64)
                assert client.stats().in_flight < 32

        night.through(faults, least_batches=12)


def test_poison_rows_are_kept_with_their_status(tmp_path: Path) -> None:
    poisonable(tmp_path / "bundle")
    words = ["red shoes", "blue boots", "red hat", "blue shoes"]
    with serve(0, "--bundle", str(tmp_path / "bundle")) as server:
        config = ClientConfig(server.address, retry=PATIENT, max_rows_per_rpc=64)
        quiet_titles = ["red shoes", "blue boots", "blue shoes"]
        [alone] = score_record_batches(iter([table(["red"] * 3, quiet_titles)]), config)
        quiet_scores = dict(zip(quiet_titles, alone["score"].to_pylist(), strict=True))
        assert set(alone["status"].to_pylist()) == {"OK"}
        rng = random.Random(3)
        titles = [words[2] if rng.random() < 0.03 else rng.choice(quiet_titles) for _ in range(600)]
        scored = list(
            score_record_batches(iter([table(["red"] * 300, titles[:300]), table(["red"] * 300, titles[300:])]), config)
        )
        rows = [row for batch in scored for row in batch.to_pylist()]
        assert [row["title"] for row in rows] == titles
        for row in rows:
            if row["title"] == "red hat":
                assert (row["status"], row["score"], row["label"]) == (FAILED, None, None)
                assert row["error"] == "the server fails on this row alone: INTERNAL"
            else:
                assert (row["status"], row["score"]) == ("OK", quiet_scores[row["title"]])
        assert sum(row["status"] == FAILED for row in rows) == titles.count("red hat") > 5


def test_a_whole_run_through_spark_while_its_server_is_killed(
    quiet: dict[tuple[str, str], tuple[float, str]], tmp_path: Path
) -> None:
    # Every pair twice, in files of their own: what is published is compared row by row.
    for number in range(2):
        columns = [[query for query, _ in PAIRS], [title for _, title in PAIRS]]
        ids = range(number * len(PAIRS), (number + 1) * len(PAIRS))
        pq.write_table(pa.table([list(ids), *columns], names=["id", "query", "title"]), tmp_path / f"{number}.parquet")
    with KeptAlive(serve) as server:
        command = [
            sys.executable,
            "-m",
            "spark_jobs.label_pairs",
            "--target",
            server.address,
            "--run-date",
            "2026-11-01",
        ]
        command += ["--input", str(tmp_path / "*.parquet"), "--output", str(tmp_path / "out"), "--rows-per-rpc", "8"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            for start in (1, 2):
                while handled(server.server) < 5:
                    assert run.poll() is None, run.stderr and run.stderr.read()
                    time.sleep(0.02)
                server.kill()
                server.wait_for_start(start + 1)
            _, errors = run.communicate()
    assert run.returncode == 0, errors
    rows = pq.read_table(tmp_path / "out" / "labels").to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(2 * len(PAIRS)))
    for row in rows:
        assert (row["query"], row["title"]) == PAIRS[row["id"] % len(PAIRS)]
        score, label = quiet[row["query"], row["title"]]
        assert (row["status"], row["error"], row["label"]) == ("OK", None, label)
        assert row["score"] == pytest.approx(score, abs=1e-5)


def table(queries: list[str], titles: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(queries), pa.array(titles)], names=["query", "title"])
