"""Finding the first line with an error in a JSON lines file.

Spark drops text after an object in its line, drops keys without a name, and replaces half a surrogate pair by `?`. All
three would alter rows in silence, and are errors here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from spark_jobs.input.text_lines import LineError

_WHOLE_DOCUMENT = (
    "the file is one JSON document over several lines, expected one object a line (JSON lines); `jq -c` converts it"
)


def check_json(lines: Iterable[tuple[int, bytes]]) -> None:
    """Read all lines.

    Raises
    ------
    LineError
        For the first line that is not one object.
    """
    first = True
    for number, line in lines:
        text = line.decode().strip()
        if not text:
            continue
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            if first and (text in "[{" or text.endswith((",", "{", "["))):
                raise LineError(number, _WHOLE_DOCUMENT) from None
            what = getattr(error, "msg", "nested too deeply")
            if what == "Extra data":
                what = "more text follows the object"
            at = getattr(error, "pos", 0) + 1
            raise LineError(number, f"it is not valid JSON ({what}, character {at})") from None
        except _KeyNameError as fault:
            raise LineError(number, str(fault)) from None
        first = False
        if not (isinstance(value, dict) or (isinstance(value, list) and all(isinstance(row, dict) for row in value))):
            raise LineError(number, "expected one object a line (JSON lines)")
        if "\\ud" in text.lower():
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x}"
                raise LineError(
                    number, f"it has half a surrogate pair ({half}), which is no character; UTF-8 cannot hold it"
                ) from None


class _KeyNameError(Exception):
    """The keys of an object cannot be column names."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _KeyNameError(f"it has the key '{twice}' twice")
    if "" in values:
        raise _KeyNameError("it has a key without a name")
    return values
