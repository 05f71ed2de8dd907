"""Quality gates: checks of a run's labels before they are published.

Each gate bounds one number. If the bound is broken, a gate of level `fail` holds the run back and one of level `warn`
is logged and reported. Bounds and levels are set by `--gate NAME=BOUND`, `NAME=warn:BOUND`, `NAME=fail:BOUND` or
`NAME=off`; the table is in `docs/report.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Level = Literal["warn", "fail", "off"]
State = Literal["passed", "warned", "failed", "skipped"]
Unit = Literal["rows", "share", "PSI"]

_TOLERATED_ROWS = 32
"""So many bad rows are tolerated whatever their share: one poison row must not hold back a run of fifty rows."""


class Measured(NamedTuple):
    """The number that a gate judges.

    Attributes
    ----------
    value
        The number; `None` if there is nothing to measure.
    note
        Why there is no number, or what it was computed from; may be empty.
    judged
        Whether the bound applies: a number that chance can explain is shown but not judged.
    """

    value: float | None
    note: str = ""
    judged: bool = True


@dataclass(frozen=True)
class QualityGate:
    """One bound on one number.

    Attributes
    ----------
    name
        As in `--gate`.
    level
        What happens if the bound is broken.
    at_most
        Whether the bound is an upper one.
    bound, unit
        A share is a fraction, 0.01 for 1%.
    what
        What is measured, in one line.
    """

    name: str
    level: Level
    at_most: bool
    bound: float
    unit: Unit
    what: str

    @property
    def expected(self) -> str:
        """The bound as text: `at most 25%`."""
        return f"{'at most' if self.at_most else 'at least'} {in_unit(self.bound, self.unit)}"

    def judge(self, measured: Measured) -> Outcome:
        """Return the outcome for what was measured."""
        value, note, judged = measured
        state: State = "passed"
        if self.level == "off" or value is None or not judged:
            state = "skipped"
        elif value > self.bound if self.at_most else value < self.bound:
            state = "failed" if self.level == "fail" else "warned"
        return Outcome(self, value, state, "switched off" if self.level == "off" else note)


@dataclass(frozen=True)
class Outcome:
    """The result of a gate."""

    gate: QualityGate
    value: float | None
    state: State
    note: str

    @property
    def sentence(self) -> str:
        """The result in one sentence, for a log or a terminal."""
        return f"{self.gate.name} is {self.shown}, expected {self.gate.expected}"

    @property
    def shown(self) -> str:
        """What was measured, as text."""
        return "not known" if self.value is None else in_unit(self.value, self.gate.unit)


DEFAULTS = (
    QualityGate("rows_min", "fail", False, 1, "rows", "rows of the input"),
    QualityGate("rows_change", "warn", True, 0.5, "share", "change of the input's rows against the last published run"),
    QualityGate("labelled_rows", "fail", False, 0.5, "share", "share of rows that have a label"),
    QualityGate(
        "replaced_rows", "fail", False, 0.5, "share", "labelled rows relative to the partition that they replace"
    ),
    QualityGate("failed_rows", "fail", True, 0.01, "share", "share of rows on which the service failed"),
    QualityGate(
        "rejected_rows", "warn", True, 0.05, "share", "share of rows that cannot be scored: null, empty, too long, …"
    ),
    QualityGate("duplicate_rows", "warn", True, 0.5, "share", "share of scorable rows that repeat another row's pair"),
    QualityGate("label_share", "warn", False, 0.01, "share", "share of the rarest of the model's labels"),
    QualityGate("score_drift", "warn", True, 0.25, "PSI", "PSI of the scores against the last published run"),
    QualityGate("label_drift", "warn", True, 0.25, "PSI", "PSI of the labels against the last published run"),
)


def with_changes(changes: Iterable[str]) -> tuple[QualityGate, ...]:
    """Return the default gates with `NAME=[LEVEL:]BOUND` or `NAME=off` applied; the last for a name wins.

    Raises
    ------
    ValueError
        If a change has another form; the message is a sentence for the user.
    """
    gates = {gate.name: gate for gate in DEFAULTS}
    for change in changes:
        name, _, setting = change.partition("=")
        if name not in gates:
            raise ValueError(f"there is no gate {name!r}; the gates are {', '.join(gates)}")
        if setting == "off":
            gates[name] = replace(gates[name], level="off")
            continue
        level, colon, bound = setting.rpartition(":")
        if colon and level not in ("warn", "fail"):
            raise ValueError(f"{change!r}: expected warn or fail before the bound, not {level!r}")
        gate = gates[name] if not colon else replace(gates[name], level="warn" if level == "warn" else "fail")
        if gate.level == "off":  # switched on again by a later change
            gate = replace(gate, level=next(default.level for default in DEFAULTS if default.name == name))
        gates[name] = replace(gate, bound=_bound(change, bound))
    return tuple(gates.values())


def failures_allowed(gates: Iterable[QualityGate], *, publish_anyway: bool) -> float:
    """Return the share of failed rows at which a run can stop early: 1 if failed rows do not hold it back."""
    strict = (gate.bound for gate in gates if gate.name == "failed_rows" and gate.level == "fail")
    return 1.0 if publish_anyway else min(1.0, next(strict, 1.0))


def share_of(count: int, rows: int, bound: float) -> Measured:
    """Measure a share of bad rows: not judged up to `_TOLERATED_ROWS`, unless half of all are bad or the bound is 0."""
    if not rows:
        return Measured(None, "no rows")
    few = bound > 0 and bound * rows < count <= min(_TOLERATED_ROWS, (rows - 1) // 2)
    note = f"{count:,} of {rows:,} rows"
    return Measured(count / rows, f"{note}: too few to judge" if few else note, judged=not few)


def share_of_replaced(labelled: int, replaced: int | None) -> Measured:
    """Measure the labelled rows of a run relative to those that are published for its date.

    Parameters
    ----------
    labelled
        Rows with a label.
    replaced
        Rows with a label in the partition that would be replaced; `None` if there is none, or it cannot be read.
    """
    if not replaced:
        return Measured(None, "nothing readable is published for the date" if replaced is None else "none before")
    few = 0 < replaced - labelled <= _TOLERATED_ROWS and labelled * 10 > replaced
    note = f"{labelled:,} labelled rows for {replaced:,}"
    return Measured(labelled / replaced, f"{note}: too few to judge" if few else note, judged=not few)


def judge(gates: Iterable[QualityGate], measures: Mapping[str, Measured]) -> tuple[Outcome, ...]:
    """Return the outcome of every gate."""
    return tuple(gate.judge(measures[gate.name]) for gate in gates)


def in_unit(value: float, unit: Unit) -> str:
    """Return a number as text: whole rows, a share in percent, PSI with three decimals.

    Examples
    --------
    >>> in_unit(0.25, "share"), in_unit(0.000024, "share"), in_unit(1234, "rows"), in_unit(0.1, "PSI")
    ('25%', '0.0024%', '1,234', '0.100')
    """
    if unit == "rows":
        return f"{value:,.0f}"
    if unit == "PSI":
        return f"{value:.3f}"
    percent = 100 * value
    # 0.0024% must not be shown as 0%.
    return (f"{percent:.1f}".removesuffix(".0") if percent >= 1 else f"{percent:.2g}") + "%"


def _bound(change: str, text: str) -> float:
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not 0 <= bound < math.inf:
        raise ValueError(f"{change!r}: expected NAME=BOUND with a number of 0 or more, NAME=warn:BOUND or NAME=off")
    return bound
