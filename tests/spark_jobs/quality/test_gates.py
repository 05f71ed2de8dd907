"""Gates: what is measured is held against its bound, and settings are read or refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spark_jobs.quality import gates
from spark_jobs.quality.gates import (
    Measured,
    QualityGate,
    failures_allowed,
    in_unit,
    share_of,
    share_of_replaced,
    with_changes,
)

DOCS = Path(__file__).resolve().parents[3] / "docs" / "report.md"


def gate_of(name: str, *changes: str) -> QualityGate:
    return next(gate for gate in with_changes(changes) if gate.name == name)


@pytest.mark.parametrize(
    ("level", "at_most", "value", "state"),
    [
        ("fail", True, 0.5, "passed"),
        ("fail", True, 0.51, "failed"),
        ("warn", True, 0.51, "warned"),
        ("fail", False, 0.5, "passed"),
        ("fail", False, 0.49, "failed"),
        ("off", False, 0.49, "skipped"),
        ("fail", True, None, "skipped"),
    ],
)
def test_a_number_is_held_against_its_bound(level: gates.Level, at_most: bool, value: float | None, state: str) -> None:
    gate = QualityGate("one", level, at_most, 0.5, "share", "…")
    assert gate.judge(Measured(value)).state == state


def test_what_chance_explains_is_shown_and_not_judged() -> None:
    outcome = QualityGate("one", "fail", True, 0.1, "PSI", "…").judge(Measured(0.7, "too few rows", judged=False))
    assert (outcome.state, outcome.value, outcome.note) == ("skipped", 0.7, "too few rows")


@pytest.mark.parametrize(
    ("count", "rows", "bound", "judged"),
    [
        (0, 10, 0.01, True),
        (2, 50, 0.01, False),
        (32, 1000, 0.01, False),
        (33, 1000, 0.01, True),
        (9, 1000, 0.01, True),
        (4, 9, 0.01, False),
        (5, 10, 0.01, True),
        (1, 1, 0.01, True),
        (1, 50, 0.0, True),
    ],
)
def test_a_few_bad_rows_are_judged_only_if_they_are_half_of_all_or_none_may_be(
    count: int, rows: int, bound: float, judged: bool
) -> None:
    measured = share_of(count, rows, bound)
    assert (measured.value, measured.judged) == (count / rows, judged)


@pytest.mark.parametrize(
    ("labelled", "replaced", "state"),
    [
        (0, None, "skipped"),  # nothing is published for the date
        (0, 0, "skipped"),
        (0, 1, "failed"),
        (0, 2000, "failed"),
        (4, 33, "skipped"),  # so few rows may come and go
        (4, 37, "failed"),
        (3, 33, "failed"),  # but not nine tenths of them
        (200, 2000, "failed"),
        (1000, 2000, "passed"),
        (3000, 2000, "passed"),
    ],
)
def test_what_is_published_is_not_replaced_by_much_less(labelled: int, replaced: int | None, state: str) -> None:
    assert gate_of("replaced_rows").judge(share_of_replaced(labelled, replaced)).state == state


def test_changes_are_applied_in_order() -> None:
    assert gate_of("failed_rows").bound == 0.01
    assert gate_of("failed_rows", "failed_rows=0.2", "failed_rows=0.3").bound == 0.3
    changed = gate_of("score_drift", "score_drift=fail:0.4")
    assert (changed.level, changed.bound) == ("fail", 0.4)
    assert gate_of("score_drift", "score_drift=off").level == "off"
    assert gate_of("score_drift", "score_drift=off", "score_drift=0.3").level == "warn"
    assert [gate.name for gate in with_changes(["label_drift=off"])] == [gate.name for gate in gates.DEFAULTS]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("speed=1", "there is no gate 'speed'; the gates are rows_min, "),
        ("failed_rows", "expected NAME=BOUND with a number of 0 or more"),
        ("failed_rows=many", "expected NAME=BOUND with a number of 0 or more"),
        ("failed_rows=-1", "expected NAME=BOUND with a number of 0 or more"),
        ("failed_rows=nan", "expected NAME=BOUND with a number of 0 or more"),
        ("failed_rows=stop:1", "expected warn or fail before the bound, not 'stop'"),
    ],
)
def test_a_change_that_cannot_be_read_is_one_sentence(change: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        with_changes([change])


def test_workers_give_up_where_the_gate_would() -> None:
    assert failures_allowed(with_changes(["failed_rows=0.2"]), publish_anyway=False) == 0.2
    assert failures_allowed(with_changes(["failed_rows=0.2"]), publish_anyway=True) == 1
    assert failures_allowed(with_changes(["failed_rows=warn:0.2"]), publish_anyway=False) == 1
    assert failures_allowed(with_changes(["failed_rows=off"]), publish_anyway=False) == 1


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (498_244, "rows", "498,244"),
        (0.01, "share", "1%"),
        (0.125, "share", "12.5%"),
        (0.0000241, "share", "0.0024%"),
        (0.0, "share", "0%"),
        (0.25, "PSI", "0.250"),
    ],
)
def test_numbers_for_a_person(value: float, unit: gates.Unit, shown: str) -> None:
    assert in_unit(value, unit) == shown


def test_the_documented_table_is_the_code() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (at \w+) (\S+) \| (\w+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )
    sides = {True: "at most", False: "at least"}
    assert [(name, side, float(bound), level) for name, _, side, bound, level in rows] == [
        (gate.name, sides[gate.at_most], gate.bound, gate.level) for gate in gates.DEFAULTS
    ]
