"""Which rows cannot be sent to the server, and the row error that each gets instead of a score.

Only what a message cannot carry is judged here: null, not UTF-8, longer than the server accepts. All else (empty,
blank, only control characters, …) is judged by the server alone.

The rules exist twice, each where it is cheap: as a Spark SQL expression, so that such rows never leave the JVM, and
over Arrow columns, for callers that pass batches straight to `spark_jobs.scoring.api`. A test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pyspark.sql import Column

NULL = "is null"
NOT_UTF8 = "is not valid UTF-8"


def too_long(size: int, limit: int) -> str:
    """Return the error of a text of `size` UTF-8 bytes, in the words that the server uses.

    Examples
    --------
    >>> too_long(9000, 8192)
    'has 9000 bytes, the limit is 8192'
    """
    return f"has {size} bytes, the limit is {limit}"


def row_error_column(query: Column, title: Column, max_text_bytes: int) -> Column:
    """Return the expression that is null for a row that can be sent, and the row error for any other.

    The error names the field and the rule; it never quotes the text.
    """
    from pyspark.sql import functions as F  # noqa: N812

    def text_error(name: str, text: Column) -> Column:
        size = F.octet_length(text)
        return (
            F.when(text.isNull(), F.lit(f"{name} {NULL}"))
            .when(
                size > max_text_bytes,
                F.format_string(f"{name} {too_long(0, max_text_bytes).replace('0', '%d', 1)}", size),
            )
            .when(~F.is_valid_utf8(text), F.lit(f"{name} {NOT_UTF8}"))
        )

    # concat_ws skips nulls and returns "" if both texts can be sent.
    errors = F.concat_ws("; ", text_error("query", query), text_error("title", title))
    return F.when(errors != "", errors)


def row_errors(query: pa.StringArray, title: pa.StringArray, max_text_bytes: int) -> dict[int, str]:
    """Return the row errors of two Arrow columns, by row position.

    Examples
    --------
    >>> import pyarrow as pa
    >>> row_errors(pa.array(["kettle", None, "kettle"]), pa.array(["red kettle", None, "a title of 22 letters"]), 20)
    {1: 'query is null; title is null', 2: 'title has 21 bytes, the limit is 20'}
    """
    errors: dict[int, str] = {}
    for name, column in (("query", query), ("title", title)):
        for row, error in _text_errors(column, max_text_bytes).items():
            errors[row] = f"{errors[row]}; {name} {error}" if row in errors else f"{name} {error}"
    return errors


def _text_errors(column: pa.StringArray, max_text_bytes: int) -> dict[int, str]:
    errors: dict[int, str] = {}
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        for row, text in enumerate(column.view(pa.binary())):
            if text.is_valid and not _is_utf8(text.as_py()):
                errors[row] = NOT_UTF8
    if column.null_count:
        errors.update(dict.fromkeys(pc.indices_nonzero(column.is_null()).to_pylist(), NULL))
    sizes = pc.binary_length(column)
    for row in pc.indices_nonzero(pc.greater(sizes, max_text_bytes)).to_pylist():
        errors[row] = too_long(sizes[row].as_py(), max_text_bytes)
    return errors


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
