"""The first line with an error in a JSON lines file."""

from __future__ import annotations

import pytest

from spark_jobs.input.json_scan import check_json
from spark_jobs.input.text_lines import LineError


def check(text: str) -> None:
    check_json(enumerate(text.encode().split(b"\n"), 1))


@pytest.mark.parametrize("text", ['{"a": 1}', '{"a": "\\ud83d\\ude00"}\n\n{"b": []}', '[{"a": 1}, {"a": 2}]', ""])
def test_lines_that_are_right(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ('{"a": 1}\n{"a": 1} x', 2, "more text follows the object"),
        ('{"a": 1, "a": 2}', 1, "the key 'a' twice"),
        ('{"": 1}', 1, "a key without a name"),
        ('{"n": {"a": 1, "A": 2}}', 1, "the keys 'a' and 'A'"),
        ('{"a": 1e999}', 1, "the number 1e999 is too large"),
        ('{"a": 1,\r"b": 2}', 1, "a carriage return within the object"),
        ('{"a": 1}\n\x0c', 2, "it is not valid JSON"),
        ('{"a": "\\ud83d"}', 1, "half a surrogate pair (\\ud83d)"),
        ("[\n{}\n]", 1, "one JSON document over several lines"),
        ("5", 1, "expected one object a line"),
    ],
)
def test_the_first_error_names_its_line(text: str, line: int, sentence: str) -> None:
    with pytest.raises(LineError) as caught:
        check(text)
    assert caught.value.line == line
    assert sentence in caught.value.sentence


def test_keys_and_integers_that_a_fraction_would_round() -> None:
    lines = ['{"a": 1, "b": [{"c": 9007199254740993}]}', '{"b": {"c": 9007199254740992, "d": 1.5}}']
    keys = check_json(enumerate(map(str.encode, lines), 1))
    assert keys.lines == {("a",): 1, ("b",): 1, ("b", "c"): 1, ("b", "d"): 2}
    assert keys.integers == {("b", "c"): (1, "9007199254740993")}
