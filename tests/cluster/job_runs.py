"""Jobs that are made of the CronJob by hand, and what became of them."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.kube import JOBS, Cluster, eventually


def start_by_hand(cluster: Cluster, name: str, *variables: str, **spec: Any) -> None:
    """Start a run of the CronJob now, with further settings, and with other fields of the Job."""
    command = ["create", "job", name, "--from=cronjob/qtr-nightly", "-n", JOBS, "--dry-run=client", "-o", "json"]
    job = json.loads(cluster.kubectl(*command))
    job["spec"] |= spec
    job["spec"]["template"]["spec"]["containers"][0]["env"] += [
        dict(zip(("name", "value"), variable.split("=", 1), strict=True)) for variable in variables
    ]
    cluster.apply(job)


def outcome(cluster: Cluster, name: str) -> tuple[str, str]:
    """Wait for the end of a job; return its condition and the reason."""

    def ended() -> tuple[str, str] | None:
        for each in cluster.get("job", name, "-n", JOBS)["status"].get("conditions", []):
            if each["status"] == "True" and each["type"] in {"Complete", "Failed"}:
                return each["type"], each.get("reason", "")
        return None

    found: tuple[str, str] = eventually(ended, 900, f"{name} does not end")
    return found


def run_by_hand(cluster: Cluster, name: str, *variables: str) -> dict[str, Any]:
    """Start a run, wait until it has succeeded, and return its last event."""
    start_by_hand(cluster, name, *variables)
    condition, _ = outcome(cluster, name)
    log = cluster.logs(JOBS, f"job/{name}")
    assert condition == "Complete", log
    return finished(log)


def finished(log: str) -> dict[str, Any]:
    """Return the event with which a run ends."""
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    [event] = [event for event in events if event["msg"] == "run finished"]
    return dict(event)


def drivers(cluster: Cluster, name: str) -> list[Any]:
    """Return the pods of a job, in the order of its attempts."""
    pods = cluster.get("pods", "-n", JOBS, "-l", f"batch.kubernetes.io/job-name={name}")["items"]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def exit_statuses(cluster: Cluster, name: str) -> list[int]:
    """Return the exit status of each attempt of a job."""
    statuses = [pod["status"]["containerStatuses"][0]["state"] for pod in drivers(cluster, name)]
    return [int(state["terminated"]["exitCode"]) for state in statuses]


def in_volume(cluster: Cluster, command: str, text: str = "") -> str:
    """Run a shell command in the pod that mounts the job's volume; return what it prints."""
    return cluster.kubectl("exec", "-i", "-n", JOBS, "putter", "--", "sh", "-c", command, text=text)
