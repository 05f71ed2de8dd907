"""Reading another program's JSON log."""

from __future__ import annotations

import pytest

from qtr_runtime.json_log import last_error, read_event

ERROR = '{"level": "ERROR", "msg": "run failed", "error": "no such column"}'


@pytest.mark.parametrize("line", ["", "Killed", "7", "[1]", '{"msg": '])
def test_a_line_that_is_no_event_is_an_empty_one(line: str) -> None:
    assert read_event(line) == {}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([ERROR, '{"level": "INFO", "msg": "stopped"}', "bye"], "no such column"),
        (['{"level": "CRITICAL", "msg": "no bundle"}', '{"level": "WARNING", "msg": "w"}'], "no bundle"),
        (["Traceback", "ValueError: 7\n", " \n"], "ValueError: 7"),
        ([], "it wrote nothing"),
    ],
)
def test_the_last_error_or_else_the_last_line(lines: list[str], expected: str) -> None:
    assert last_error(lines) == expected
