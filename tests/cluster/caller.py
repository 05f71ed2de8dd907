"""Runs inside the cluster: calls the headless Service until a file says stop, and prints answers and failures."""

import json
import sys
import threading
from pathlib import Path

from grpc_client import ClientConfig, RelevanceClient

TARGET = "dns:///qtr-server-headless.qtr.svc:8001"
STOP = Path("/tmp/stop")

failures: list[str] = []
answers = [0]


def call(client: RelevanceClient, rows: int) -> None:
    """Call without a pause."""
    queries, titles = ["usb c cable"] * rows, [f"USB-C cable, {length} m, grey" for length in range(rows)]
    while not STOP.exists():
        try:
            client.score_batch(queries, titles)
            answers[0] += 1
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")


with RelevanceClient(ClientConfig(TARGET)) as client:
    threads = [threading.Thread(target=call, args=(client, int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
    for thread in threads:
        thread.start()
    print("calling", flush=True)
    for thread in threads:
        thread.join()
print(json.dumps({"answers": answers[0], "failures": failures}), flush=True)
