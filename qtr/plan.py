"""`qtr plan`: how long a run will take, and how many replicas it needs, before it starts."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator
from rich.console import Console
from rich.table import Table

from grpc_client.settings import ClientSettings
from qtr.capacity import Forecast, Rate, Workload, forecast, replicas_needed
from qtr_runtime.resources import available_cpus
from qtr_runtime.settings import usage_error
from qtr_runtime.terminal import duration

_CLOCK = re.compile(r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)")
_DURATION = re.compile(r"(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m(?:in)?)?")
_CALL_DEADLINE_SECONDS = 30.0


class PlanSettings(ClientSettings):
    """Forecasts how long labelling takes, and how many replicas it needs to end in time.

    The rate of one replica is given, or measured for some seconds: on --target, or on servers that are started on this
    machine. Exit status: 0 the plan holds, 1 it misses --by or --target does not answer, 2 a flag is wrong.
    """

    prog: ClassVar[str] = "qtr plan"

    rows: int = Field(ge=1, description="Rows of the run.")
    new: float = Field(
        default=1.0, gt=0, le=1, description="Share of the rows that are distinct pairs not scored before."
    )
    by: str | None = Field(
        default=None, description="When the run must end: a time of day (06:00), or a duration (2h30m)."
    )
    start: str | None = Field(default=None, description="When the run starts, a time of day (01:00); now if absent.")
    executors: int = Field(default=1, ge=1, description="Spark executors.")
    cores: int = Field(default_factory=available_cpus, ge=1, description="Cores of an executor, a task on each.")
    in_flight: int = Field(default=4, ge=1, le=256, description="Calls in flight of one task, as in qtr label.")
    rows_per_rpc: int = Field(default=1024, ge=1, description="Pairs in one call, as in qtr label.")
    replicas: int | None = Field(
        default=None, ge=1, description="Replicas of one core; as many as --by needs, or as were measured, if absent."
    )
    pairs_per_second: float | None = Field(default=None, gt=0, description="Rate of one replica; measured if absent.")
    target: str | None = Field(default=None, description="A running service to measure, such as dns:///relevance:8001.")
    target_replicas: int = Field(default=1, ge=1, description="Replicas behind --target while it is measured.")
    pairs: Path | None = Field(
        default=None, description="Real pairs to measure with (Parquet, or JSON lines); synthetic ones if absent."
    )
    bundle: Path | None = Field(default=None, description="Model bundle to measure; the bundled student if absent.")
    seconds: float = Field(default=5.0, gt=0, description="Seconds to measure.")
    headroom: float = Field(default=0.2, ge=0, lt=1, description="Share of the measured rate that is kept in reserve.")
    overhead_seconds: float = Field(default=60.0, ge=0, description="Seconds of a run before and after scoring.")
    json_output: bool = Field(default=False, alias="json", description="Print one JSON object instead of tables.")

    @field_validator("start")
    @classmethod
    def _time_of_day(cls, value: str | None) -> str | None:
        if value is not None and not _CLOCK.fullmatch(value):
            raise ValueError(f"expected a time of day such as 01:00, not {value!r}")
        return value

    @field_validator("by")
    @classmethod
    def _time_or_duration(cls, value: str | None) -> str | None:
        if value is not None and not (_CLOCK.fullmatch(value) or (value and _DURATION.fullmatch(value))):
            raise ValueError(f"expected a time of day such as 06:00, or a duration such as 2h30m, not {value!r}")
        return value


def main(argv: Sequence[str] | None = None) -> int:
    """Measure unless a rate is given, print the plan; return the exit status."""
    settings = PlanSettings.parse(sys.argv[1:] if argv is None else argv)
    start = _at(settings.start, datetime.now().astimezone())
    rate = _rate(settings)
    if rate is None:
        return 1
    workload = Workload(
        pairs=math.ceil(settings.rows * settings.new),
        callers=settings.executors * settings.cores,
        in_flight=settings.in_flight,
        rows_per_rpc=settings.rows_per_rpc,
        overhead_seconds=settings.overhead_seconds,
        headroom=settings.headroom,
        within_seconds=_within_seconds(settings.by, start),
    )
    needed = replicas_needed(workload, rate)
    planned = forecast(workload, rate, settings.replicas or needed or rate.replicas)
    if settings.json_output:
        finish = (start + timedelta(seconds=planned.seconds)).isoformat(timespec="seconds")
        values = {"rows": settings.rows, **asdict(workload), "calls": workload.calls, "rate": asdict(rate)}
        values |= {"start": start.isoformat(timespec="seconds"), "finish": finish, "replicas_needed": needed}
        print(json.dumps(values | {"plan": asdict(planned), "notes": _notes(workload, rate, planned, needed)}))
    else:
        _print(settings, workload, rate, planned, start)
    return 0 if planned.in_time else 1


def _rate(settings: PlanSettings) -> Rate | None:
    if settings.pairs_per_second is not None:
        return Rate(settings.pairs_per_second, "as given", settings.replicas or 1)
    from grpc_client import ClientConfig, ClientError, ConfigError
    from qtr.throughput import measure, synthetic_pairs
    from qtr.tune import read_pairs, serving

    pairs = read_pairs(settings.pairs, settings.prog) if settings.pairs else synthetic_pairs()
    texts = "real pairs" if settings.pairs else "synthetic pairs; --pairs takes real ones"
    with ExitStack() as stack:
        stack.enter_context(Console(stderr=True).status(f"measuring for {settings.seconds:g} s"))
        if settings.target:
            target, replicas, where = settings.target, settings.target_replicas, settings.target
        else:
            replicas = available_cpus()
            flags = ["--threads=1", *([f"--bundle={settings.bundle}"] if settings.bundle else [])]
            target = "ipv4:" + ",".join(stack.enter_context(serving(flags, settings.prog)) for _ in range(replicas))
            where = f"{replicas} servers on this machine, which the caller shares"
        config = ClientConfig(
            target,
            in_flight=4 * replicas,
            max_rows_per_rpc=settings.rows_per_rpc,
            tls=settings.tls_files() if settings.target else None,
            token_file=settings.token_file_name() if settings.target else None,
        )
        try:
            found = measure(config, pairs, settings.seconds)
        except ConfigError as error:
            usage_error(settings.prog, str(error))
        except ClientError as error:
            print(f"{settings.prog}: {error}", file=sys.stderr)
            return None
    source = f"measured on {where}, with {texts}"
    return Rate(found.pairs_per_second / replicas, source, replicas, found.caller_seconds_per_pair)


def _notes(workload: Workload, rate: Rate, planned: Forecast, needed: int | None) -> list[str]:
    notes = []
    if workload.within_seconds is not None and needed is None:
        notes.append("no number of replicas ends in time: the time before and after scoring is as long")
    elif needed is not None and not planned.in_time:
        notes.append(f"ending in time takes {needed:,} replicas, and as many calls in flight")
    if workload.calls < planned.replicas:
        notes.append(
            f"{workload.calls:,} calls in flight keep no more than {workload.calls:,} of {planned.replicas:,} "
            "replicas busy: more executors, cores or --in-flight would help"
        )
    served = min(planned.replicas, workload.calls) * rate.pairs_per_second * (1 - workload.headroom)
    if rate.caller_seconds_per_pair and planned.pairs_per_second < 0.999 * served:
        notes.append(
            f"{workload.callers:,} cores can prepare and send {planned.pairs_per_second:,.0f} pairs/s at most, at "
            f"{rate.caller_seconds_per_pair * 1e6:.1f} µs a pair: more executors would help, more replicas would not"
        )
    if planned.longest_wait_seconds > _CALL_DEADLINE_SECONDS / 2:
        notes.append(
            f"with all calls in flight, one waits {planned.longest_wait_seconds:.0f} s in the servers' queues, and its "
            f"deadline is {_CALL_DEADLINE_SECONDS:g} s: fewer in flight would do"
        )
    return notes


def _print(settings: PlanSettings, workload: Workload, rate: Rate, planned: Forecast, start: datetime) -> None:
    console = Console()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    counted = rate.pairs_per_second * (1 - workload.headroom)
    table.add_row("work", f"{workload.pairs:,}", f"pairs: {settings.new:.0%} of {settings.rows:,} rows")
    table.add_row(
        "callers",
        f"{workload.calls:,}",
        f"calls in flight: executors {settings.executors:,} x cores {settings.cores:,} x in flight "
        f"{workload.in_flight}, {workload.calls * workload.rows_per_rpc:,} pairs at most",
    )
    table.add_row(
        "one replica",
        f"{counted:,.0f}",
        f"pairs/s: {rate.pairs_per_second:,.0f} less {workload.headroom:.0%} headroom, {rate.source}",
    )
    table.add_row("service", f"{planned.pairs_per_second:,.0f}", f"pairs/s, replicas {planned.replicas:,}")
    table.add_row(
        "scoring",
        duration(planned.seconds - workload.overhead_seconds),
        f"and {duration(workload.overhead_seconds)} around it",
    )
    end = start + timedelta(seconds=planned.seconds)
    table.add_row(
        "done", f"{end:%H:%M}", f"{duration(planned.seconds)} after {start:%H:%M}{_verdict(workload, planned)}"
    )
    console.print(table)
    console.print()
    needed = replicas_needed(workload, rate)
    console.print(_choices(workload, rate, planned, needed, start))
    for note in _notes(workload, rate, planned, needed):
        console.print(f"! {note}", style="yellow", highlight=False)


def _choices(workload: Workload, rate: Rate, planned: Forecast, needed: int | None, start: datetime) -> Table:
    middle = needed or planned.replicas
    numbers = {1 << power for power in range(20)} | {planned.replicas, middle}
    table = Table(title="by number of replicas", title_justify="left")
    for heading in ("replicas", "pairs/s", "takes", "done"):
        table.add_column(heading, justify="right")
    table.add_column("in time" if workload.within_seconds is not None else "")
    for number in sorted(number for number in numbers if middle / 8 <= number <= 4 * middle):
        each = forecast(workload, rate, number)
        end = start + timedelta(seconds=each.seconds)
        marks = [] if workload.within_seconds is None else ["yes" if each.in_time else "no"]
        marks += ["fewest"] if number == needed and each.in_time else []
        marks += ["planned"] if number == planned.replicas else []
        style = "bold" if number == planned.replicas else "" if each.in_time else "dim"
        cells = (f"{number:,}", f"{each.pairs_per_second:,.0f}", duration(each.seconds), f"{end:%a %H:%M}")
        table.add_row(*cells, ", ".join(marks), style=style)
    return table


def _verdict(workload: Workload, planned: Forecast) -> str:
    if workload.within_seconds is None:
        return ""
    spare = workload.within_seconds - planned.seconds
    return f", {duration(spare)} to spare" if spare >= 0 else f", {duration(-spare)} too late"


def _at(clock: str | None, now: datetime) -> datetime:
    if clock is None:
        return now
    hour, minute = map(int, clock.split(":"))
    return now.replace(hour=hour, minute=minute, second=0, microsecond=0)


def _within_seconds(by: str | None, start: datetime) -> float | None:
    if by is None:
        return None
    if _CLOCK.fullmatch(by):
        end = _at(by, start)
        return ((end - start) if end > start else (end - start + timedelta(days=1))).total_seconds()
    parts = _DURATION.fullmatch(by)
    assert parts is not None
    return 3600.0 * int(parts["hours"] or 0) + 60.0 * int(parts["minutes"] or 0)
