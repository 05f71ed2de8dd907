"""Looking for the line at fault in a file of JSON lines.

Spark drops what follows an object in its line and keys without a name, and puts `?` for half a surrogate pair. All
three would alter rows in silence, and are faults here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from spark_jobs.input.text_lines import Fault

_WHOLE_DOCUMENT = (
    "the file is one JSON document over several lines, expected one object a line (JSON lines); `jq -c` converts it"
)


def check_json(lines: Iterable[tuple[int, bytes]]) -> None:
    """Read all lines.

    Raises
    ------
    Fault
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
                raise Fault(number, _WHOLE_DOCUMENT) from None
            what = getattr(error, "msg", "nested too deeply")
            if what == "Extra data":
                what = "more text follows the object"
            at = getattr(error, "pos", 0) + 1
            raise Fault(number, f"it is not valid JSON ({what}, character {at})") from None
        except _KeyFault as fault:
            raise Fault(number, str(fault)) from None
        first = False
        if not (isinstance(value, dict) or (isinstance(value, list) and all(isinstance(row, dict) for row in value))):
            raise Fault(number, "expected one object a line (JSON lines)")
        if "\\ud" in text.lower():
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(error.object[error.start]):04x}"
                raise Fault(
                    number, f"it has half a surrogate pair ({half}), which is no character; UTF-8 cannot hold it"
                ) from None


class _KeyFault(Exception):
    """An object's keys are not fit for columns."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _KeyFault(f"it has the key '{twice}' twice")
    if "" in values:
        raise _KeyFault("it has a key without a name")
    return values
