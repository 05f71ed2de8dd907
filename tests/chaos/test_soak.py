"""Everything hostile at once, for a short while: honest callers are served, memory is as documented, a night is right.

`benchmarks/hostile.py` does the same for as long as it is told; this is its short form.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.hostile import Options, run

# Two nights, each a start of Spark, one of them beside all that is hostile.


def test_everything_hostile_at_once_harms_no_honest_caller_and_no_night(tmp_path: Path) -> None:
    options = Options(seconds=20, processes=3, silent=100, rows=2000, pause_seconds=3, every_seconds=6, probe_seconds=2)
    found = run(options, tmp_path)
    assert found.faults == []
    assert found.runs > 0
    assert min(found.attempts, found.calls) > 100
