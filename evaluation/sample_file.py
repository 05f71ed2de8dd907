"""The file of a sample that people fill in: CSV that a spreadsheet opens and that comes back as it was.

A spreadsheet runs a cell that begins with `=` as a formula, and turns `10-12` or `mar 5` into a date, for good. A text
that it could take for one of these is written with an apostrophe before it; `unguarded` takes the apostrophe away.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from qtr_runtime.files import write_whole

INCLUSION_PROBABILITY: Final = "inclusion_probability"
TIMES_DRAWN: Final = "times_drawn"
COLUMNS: Final = ("query", "title", "label", INCLUSION_PROBABILITY, TIMES_DRAWN)
_GUARD: Final = "'"
# The longest date or number that a spreadsheet recognises is shorter: "wednesday, september 30, 2026".
_DATE_CHARACTERS: Final = 30
_DIGIT: Final = re.compile(r"\d")
_TRUTH: Final = frozenset({"true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "falso"})


def guarded(text: str) -> str:
    """Return a text that no spreadsheet changes or runs.

    Examples
    --------
    >>> guarded("=1+1"), guarded("mar 5"), guarded("'quoted'"), guarded("red shoes")
    ("'=1+1", "'mar 5", "''quoted'", 'red shoes')
    >>> unguarded(guarded("=1+1"))
    '=1+1'
    """
    plain = text[:1].isalpha() and not (len(text) <= _DATE_CHARACTERS and _DIGIT.search(text))
    return text if plain and text.lower() not in _TRUTH else _GUARD + text


def unguarded(text: str) -> str:
    """Return the text that was guarded."""
    return text.removeprefix(_GUARD)


def number_of(text: str) -> float | None:
    """Return a number as a spreadsheet writes it, with a decimal comma or point; `None` for anything else."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def write_sample(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write the rows, of `COLUMNS`, texts guarded; in UTF-8 with the mark by which a spreadsheet knows it.

    The file appears whole or not at all.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for query, title, *rest in rows:
        writer.writerow([guarded(str(query)), guarded(str(title)), *rest])
    write_whole(path, text.getvalue(), encoding="utf-8-sig")
