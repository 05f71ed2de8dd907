"""The duration of a run: the arithmetic of `qtr.plan`, that of a closed loop.

Executors x cores x in-flight limit is the largest number of calls in flight. A replica of one core works on one call at
a time, so at most that many replicas are busy; each gives the measured rate of one, less some headroom. The other bound
is what the callers' CPUs can prepare and send, known if the rate was measured from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """The rate of one replica, and its source.

    Attributes
    ----------
    pairs_per_second
        Of one replica.
    source
        Where the rate comes from, as a phrase.
    replicas
        Number of replicas measured together.
    caller_seconds_per_pair
        CPU seconds of the caller for a pair; None if not measured.
    """

    pairs_per_second: float
    source: str
    replicas: int = 1
    caller_seconds_per_pair: float | None = None


@dataclass(frozen=True)
class Workload:
    """The pairs of a run, and the callers that send them."""

    pairs: int
    callers: int
    in_flight: int
    rows_per_rpc: int
    overhead_seconds: float
    headroom: float
    within_seconds: float | None

    @property
    def calls(self) -> int:
        """Largest number of calls in flight."""
        return self.callers * self.in_flight


@dataclass(frozen=True)
class Forecast:
    """A run with a number of replicas; `longest_wait_seconds` is a call's time if all calls are in flight."""

    replicas: int
    pairs_per_second: float
    seconds: float
    longest_wait_seconds: float
    in_time: bool


def forecast(workload: Workload, rate: Rate, replicas: int) -> Forecast:
    """Return how long `workload` takes with so many replicas.

    Examples
    --------
    >>> workload = Workload(36_000_000, callers=8, in_flight=4, rows_per_rpc=1024, overhead_seconds=60, headroom=0.2,
    ...                     within_seconds=None)
    >>> forecast(workload, Rate(5000.0, "given"), replicas=10).seconds
    960.0
    """
    one = rate.pairs_per_second * (1 - workload.headroom)
    speed = min(replicas, workload.calls) * one
    if rate.caller_seconds_per_pair:
        speed = min(speed, workload.callers / rate.caller_seconds_per_pair * (1 - workload.headroom))
    seconds = workload.overhead_seconds + workload.pairs / speed
    wait = workload.calls * workload.rows_per_rpc / speed
    # A tolerance of a microsecond for rounding: a number of replicas may fit exactly.
    return Forecast(
        replicas, speed, seconds, wait, workload.within_seconds is None or seconds <= workload.within_seconds + 1e-6
    )


def replicas_needed(workload: Workload, rate: Rate) -> int | None:
    """Return the least number of replicas that is done in time, or None if none is."""
    if workload.within_seconds is None or workload.within_seconds <= workload.overhead_seconds:
        return None
    left = workload.within_seconds - workload.overhead_seconds
    return max(1, math.ceil(workload.pairs / (left * rate.pairs_per_second * (1 - workload.headroom))))
