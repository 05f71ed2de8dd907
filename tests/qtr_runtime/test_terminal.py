"""Texts on a terminal."""

from __future__ import annotations

import pytest

from qtr_runtime.terminal import duration, escape_control


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (60, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_control_characters_and_lone_surrogates_are_escaped() -> None:
    assert escape_control("a\x1b[2Jb\n\ud800 é") == "a\\x1b[2Jb\\n\\ud800 é"
