"""The first line with an error in a CSV file."""

from __future__ import annotations

import pytest

from spark_jobs.input.csv_scan import check_csv
from spark_jobs.input.text_lines import LineError


def check(text: str, line_end: str = "\n") -> None:
    lines = enumerate(text.encode().split(line_end.encode()), 1)
    check_csv(lines, delimiter=b",", line_end=line_end.encode(), fields=2)


@pytest.mark.parametrize(
    "text",
    ["a,b", 'a,"b, ""c"""', 'a,20" wheel', '"a\nb",c', "a,b\n\nc,d", '"",""', 'a,"b"\nc,20" wheel'],
)
def test_records_that_are_right(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a,b\nc", 2, "it has 1 field, the header has 2"),
        ("a,b,c", 1, "it has 3 fields"),
        ('a,b\nc,"d\ne', 2, "never ends"),
        ('a,"b" c', 1, "is followed by more text"),
        ('a,"b \\" c"', 1, "not with a backslash"),
        ('a,20" wheel\n"b\nc",d', 2, "line 1 has a quote within an unquoted field"),
        ("a,b\r\nc,d", 1, "ends with CR LF"),
    ],
)
def test_the_first_error_names_its_line(text: str, line: int, sentence: str) -> None:
    with pytest.raises(LineError) as caught:
        check(text)
    assert caught.value.line == line
    assert sentence in caught.value.sentence
