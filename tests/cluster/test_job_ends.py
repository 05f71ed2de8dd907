"""How runs end that do not succeed: statuses that are not retried, the deadline, a driver that is killed."""

from __future__ import annotations

import json

import pytest

from tests.cluster.job_runs import drivers, exit_statuses, finished, in_volume, outcome, run_by_hand, start_by_hand
from tests.cluster.kube import JOBS, Cluster, eventually

pytestmark = pytest.mark.timeout(2400)

# Nobody answers here, so a run holds its date and goes on trying.
NOWHERE = ("QTR_TARGET=dns:///qtr-nowhere.qtr.svc:8001", "QTR_RETRY_BUDGET_SECONDS=1200")
PAIRS = 60_000
COMPARE = """
import sys
import pyarrow.parquet as pq

columns = ["query", "title", "score", "label", "status"]
tables = [pq.read_table(f"/data/{name}/labels", columns=columns) for name in sys.argv[1:]]
killed, whole = (sorted(table.to_pylist(), key=str) for table in tables)
print(len(killed), killed == whole)
"""


def locked(cluster: Cluster, date: str) -> bool:
    return bool(in_volume(cluster, f"ls /data/out/_locks/run_date={date} 2>/dev/null || true").strip())


@pytest.mark.parametrize(
    ("name", "date", "variable", "status"),
    [
        ("no-input", "2026-11-05", 'QTR_INPUT=["/data/nothing"]', 2),
        ("held-back", "2026-11-06", 'QTR_GATE=["rejected_rows=fail:0"]', 3),
    ],
)
def test_a_fault_that_a_retry_does_not_mend_ends_the_job_at_once(
    jobs: Cluster, name: str, date: str, variable: str, status: int
) -> None:
    start_by_hand(jobs, name, f"QTR_RUN_DATE={date}", variable)
    assert outcome(jobs, name) == ("Failed", "PodFailurePolicy")
    assert exit_statuses(jobs, name) == [status]


def test_a_second_run_of_a_date_ends_at_once_and_the_deadline_gives_the_date_free(jobs: Cluster) -> None:
    date = "2026-11-07"
    start_by_hand(jobs, "first", f"QTR_RUN_DATE={date}", *NOWHERE, activeDeadlineSeconds=420)
    eventually(lambda: locked(jobs, date), 300, "the first run takes no lock")
    start_by_hand(jobs, "second", f"QTR_RUN_DATE={date}")
    assert outcome(jobs, "second") == ("Failed", "PodFailurePolicy")
    assert exit_statuses(jobs, "second") == [4]
    assert outcome(jobs, "first") == ("Failed", "DeadlineExceeded")
    eventually(lambda: not drivers(jobs, "first"), 120, "the driver does not end")
    assert not locked(jobs, date)
    assert jobs.pods(JOBS, "spark-role=executor") == []


def test_a_killed_driver_is_resumed_and_its_rows_are_those_of_a_run_without_a_kill(jobs: Cluster) -> None:
    rows = ({"query": f"usb c cable {row % 300}", "title": f"USB-C cable {row}, grey"} for row in range(PAIRS))
    in_volume(jobs, "mkdir -p /data/many && cat >/data/many/pairs.jsonl", "\n".join(map(json.dumps, rows)))
    common = ('QTR_INPUT=["/data/many"]', "QTR_RUN_DATE=2026-11-08", "QTR_PARTITIONS=24")
    start_by_hand(jobs, "killed", *common, "QTR_OUTPUT=/data/killed")
    kept = "find /data/killed/scores -path '*/batch=*' -name '*.parquet' 2>/dev/null | grep -v _temporary | head -1"
    eventually(lambda: in_volume(jobs, kept).strip(), 400, "no task has committed its scores")
    [driver] = drivers(jobs, "killed")
    jobs.kubectl("delete", "pod", driver["metadata"]["name"], "-n", JOBS, "--grace-period=0", "--force")
    assert outcome(jobs, "killed")[0] == "Complete"
    event = finished(jobs.logs(JOBS, drivers(jobs, "killed")[-1]["metadata"]["name"]))
    assert 0 < event["pairs"]["new"] < event["pairs"]["distinct"] == PAIRS
    run_by_hand(jobs, "whole", *common, "QTR_OUTPUT=/data/whole")
    compared = in_volume(jobs, f"python - killed whole <<'END'\n{COMPARE}\nEND")
    assert compared.split() == [str(PAIRS), "True"]
