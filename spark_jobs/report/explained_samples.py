"""Explanations of some sample rows, by the service that scored them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Final

from grpc_client import ClientConfig, ClientError, Explanation, RelevanceClient, RetryPolicy
from spark_jobs.quality.summary import SHOWN_CHARACTERS, SampleRow
from spark_jobs.report.run_report import Assessment

log = logging.getLogger("spark_jobs")


# The labels wait for the explanations; a busy service answers in some seconds.
_SECONDS: Final = 15.0


def with_explanations(assessment: Assessment, config: ClientConfig, most: int, run_id: str) -> Assessment:
    """Add explanations of up to `most` sample rows, one call each.

    A run does not fail by them: after the first call without an answer, the remaining rows have none.
    """
    explanations: dict[SampleRow, Explanation] = {}
    rows = choose(chain.from_iterable(assessment.samples.values()), assessment.info.threshold)[:most]
    patient = replace(config, retry=RetryPolicy(budget_seconds=_SECONDS), deadline_seconds=_SECONDS)
    try:
        with RelevanceClient(patient) as client:
            for row in rows:
                explanations[row] = client.explain(row.query or "", row.title or "")
    except ClientError as error:
        log.warning("sample rows are not all explained", extra={"run_id": run_id, "reason": str(error)})
    return replace(assessment, explanations=explanations)


def choose(rows: Iterable[SampleRow], threshold: float) -> list[SampleRow]:
    """Return the rows that can be explained, in turn one near the threshold, a highest and a lowest score.

    Rows whose texts are not shown whole are left out: the explanation would be that of another pair.

    Examples
    --------
    >>> rows = [SampleRow("lamp", "lamp", score, "") for score in (0.1, 0.3, 0.5, 0.7, 0.9)]
    >>> [row.score for row in choose(rows, threshold=0.6)]
    [0.5, 0.9, 0.1, 0.7, 0.3]
    """
    scored = [
        (row.score, row)
        for row in rows
        if row.score is not None and all(0 < len(text or "") < SHOWN_CHARACTERS for text in (row.query, row.title))
    ]
    ascending = sorted(scored, key=lambda item: item[0])
    nearest = sorted(ascending, key=lambda item: abs(item[0] - threshold))
    turns = zip_longest(nearest, reversed(ascending), ascending)
    return list(dict.fromkeys(item[1] for item in chain.from_iterable(turns) if item is not None))
