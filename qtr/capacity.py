"""How long a night takes: the arithmetic of `qtr.plan`, which is that of a closed loop.

Executors x cores x in-flight limit is the number of calls that can be in flight. A replica of one core works on one
call at a time, so that many replicas can be busy at most; each gives what was measured of one, less some headroom. What
the callers' own processors can prepare and send is the other bound, known when the rate was measured from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """What one replica scores, and where that is known from.

    Attributes
    ----------
    pairs_per_second
        Of one replica.
    source
        One phrase for people.
    replicas
        How many were measured together.
    caller_seconds_per_pair
        Processor time that the caller spent on a pair; `None` if it was not measured.
    """

    pairs_per_second: float
    source: str
    replicas: int = 1
    caller_seconds_per_pair: float | None = None


@dataclass(frozen=True)
class Workload:
    """What is to be done, and by whom."""

    pairs: int
    callers: int
    in_flight: int
    rows_per_rpc: int
    overhead_seconds: float
    headroom: float
    within_seconds: float | None

    @property
    def calls(self) -> int:
        """Calls in flight, at most."""
        return self.callers * self.in_flight


@dataclass(frozen=True)
class Forecast:
    """How a night goes with a number of replicas; `longest_wait_seconds` is a call's, if all of them are in flight."""

    replicas: int
    pairs_per_second: float
    seconds: float
    longest_wait_seconds: float
    in_time: bool


def forecast(night: Workload, rate: Rate, replicas: int) -> Forecast:
    """Work out how the night goes with so many replicas."""
    one = rate.pairs_per_second * (1 - night.headroom)
    speed = min(replicas, night.calls) * one
    if rate.caller_seconds_per_pair:
        speed = min(speed, night.callers / rate.caller_seconds_per_pair * (1 - night.headroom))
    seconds = night.overhead_seconds + night.pairs / speed
    wait = night.calls * night.rows_per_rpc / speed
    # A microsecond more is what rounding makes of a number of replicas that fits exactly.
    return Forecast(
        replicas, speed, seconds, wait, night.within_seconds is None or seconds <= night.within_seconds + 1e-6
    )


def replicas_needed(night: Workload, rate: Rate) -> int | None:
    """Return the fewest replicas that are done in time, if enough calls reach them; `None` if no number is."""
    if night.within_seconds is None or night.within_seconds <= night.overhead_seconds:
        return None
    left = night.within_seconds - night.overhead_seconds
    return max(1, math.ceil(night.pairs / (left * rate.pairs_per_second * (1 - night.headroom))))
