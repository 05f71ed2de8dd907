"""All hostile peers at once, for 20 seconds: callers are served, memory stays as documented, a run labels every row.

`benchmarks/hostile.py` does the same for any time.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.hostile import Options, run

# Two runs, each with a start of Spark; one of them runs beside the hostile peers.


def test_all_hostile_peers_at_once_harm_no_caller_and_no_run(tmp_path: Path) -> None:
    options = Options(seconds=20, processes=3, silent=100, rows=2000, pause_seconds=3, every_seconds=6, probe_seconds=2)
    found = run(options, tmp_path)
    assert found.faults == []
    assert found.runs > 0
    assert min(found.attempts, found.calls) > 100
