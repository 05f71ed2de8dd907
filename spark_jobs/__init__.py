"""The nightly run: read, validate, deduplicate, score, publish, report.

`python -m spark_jobs.label_pairs` is the whole run. `score_pairs` and `score_rows` only score a DataFrame or an RDD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_jobs.scoring.api import score_pairs, score_record_batches, score_rows

__all__ = ["score_pairs", "score_record_batches", "score_rows"]


def __getattr__(name: str) -> Any:
    # Spark is imported on first use, so that `--help` and `spark_jobs.lifecycle.java` start at once.
    if name in __all__:
        from spark_jobs.scoring import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
