"""Finding the first line with an error in a JSON lines file.

Spark drops text after an object in its line, drops keys without a name, and replaces half a surrogate pair by `?`. All
three would alter rows in silence, and are errors here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from spark_jobs.input.text_lines import LineError

ONE_CASE = "Spark does not tell upper from lower case, so write one of both"
_WHITE_SPACE = " \t\r\n"
_ALL_EXACT = 1 << 53
_WHOLE_DOCUMENT = (
    "the file is one JSON document over several lines, expected one object a line (JSON lines); `jq -c` converts it"
)


KeyPath = tuple[str, ...]
"""The keys that lead to a value; lists on the way do not count."""


@dataclass
class Keys:
    """The keys of a file, and those of its integers that a column of fractions would round.

    Attributes
    ----------
    lines
        The first line of each key.
    integers
        The first line of an integer that a 64-bit fraction cannot hold, and its digits.
    """

    lines: dict[KeyPath, int] = field(default_factory=dict)
    integers: dict[KeyPath, tuple[int, str]] = field(default_factory=dict)

    def add(self, value: object, line: int, path: KeyPath = ()) -> None:
        """Add the keys of a value."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.lines.setdefault((*path, key), line)
                self.add(inner, line, (*path, key))
        elif isinstance(value, list):
            for inner in value:
                self.add(inner, line, path)
        elif isinstance(value, int) and abs(value) > _ALL_EXACT and path not in self.integers and not _is_exact(value):
            self.integers[path] = line, str(value)


def check_json(lines: Iterable[tuple[int, bytes]]) -> Keys:
    """Read all lines; return their keys.

    Raises
    ------
    LineError
        For the first line that is not one object.
    """
    first = True
    keys = Keys()
    for number, line in lines:
        text = line.decode().strip(_WHITE_SPACE)
        if not text:
            continue
        try:
            value = json.loads(text, object_pairs_hook=_object, parse_float=_fraction)
            keys.add(value, number)
        except json.JSONDecodeError as error:
            if first and (text in "[{" or text.endswith((",", "{", "["))):
                raise LineError(number, _WHOLE_DOCUMENT) from None
            what = "more text follows the object" if error.msg == "Extra data" else error.msg
            raise LineError(number, f"it is not valid JSON ({what}, character {error.pos + 1})") from None
        except RecursionError:
            raise LineError(number, "it is nested too deeply") from None
        except ValueError:  # Python's own limit: 4,300 digits
            raise LineError(number, "it has a number of too many digits") from None
        except _KeyNameError as fault:
            raise LineError(number, str(fault)) from None
        first = False
        if not (isinstance(value, dict) or (isinstance(value, list) and all(isinstance(row, dict) for row in value))):
            raise LineError(number, "expected one object a line (JSON lines)")
        if "\r" in text:
            raise LineError(number, "it has a carriage return within the object, which would end the line; remove it")
        if "\\ud" in text.lower():
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x}"
                raise LineError(
                    number, f"it has half a surrogate pair ({half}), which is no character; UTF-8 cannot hold it"
                ) from None
    return keys


class _KeyNameError(Exception):
    """The keys of an object cannot be column names, or a number cannot be in a column."""


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _fraction(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _KeyNameError(f"the number {text[:40]} is too large for a column of fractions; write it in quotes")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _KeyNameError(f"it has the key '{twice}' twice")
    first = {key.lower(): key for key in reversed(values)}
    if (other := next((key for key in values if first[key.lower()] != key), None)) is not None:
        raise _KeyNameError(f"it has the keys '{first[other.lower()]}' and '{other}'; {ONE_CASE}")
    if "" in values:
        raise _KeyNameError("it has a key without a name")
    return values
