"""Texts that cannot or must not travel to the server, and the sentence that each row gets instead.

Only what the wire cannot carry is judged here: null, not UTF-8, longer than the server takes. Everything else (empty,
blank, nothing but control characters, ...) is the server's to judge, so that there is one authority.

The rules exist twice, in the two places where they are cheap: as a Spark SQL expression, so that such rows never leave
the JVM, and over Arrow columns, for callers who hand batches straight to `spark_jobs.scoring.api`.
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
    """Say by how much a text is too long, in UTF-8 bytes, in the words that the server uses."""
    return f"has {size} bytes, the limit is {limit}"


def refusal_column(query: Column, title: Column, max_text_bytes: int) -> Column:
    """Build the expression that is null for a row that may travel, and otherwise says why it may not.

    The reason names the field and the rule; it never quotes the text.
    """
    from pyspark.sql import functions as F  # noqa: N812

    def refusal(name: str, text: Column) -> Column:
        size = F.octet_length(text)
        return (
            F.when(text.isNull(), F.lit(f"{name} {NULL}"))
            .when(
                size > max_text_bytes,
                F.format_string(f"{name} {too_long(0, max_text_bytes).replace('0', '%d', 1)}", size),
            )
            .when(~F.is_valid_utf8(text), F.lit(f"{name} {NOT_UTF8}"))
        )

    # concat_ws skips nulls and gives "" where both texts may travel.
    reasons = F.concat_ws("; ", refusal("query", query), refusal("title", title))
    return F.when(reasons != "", reasons)


def refused_rows(query: pa.StringArray, title: pa.StringArray, max_text_bytes: int) -> dict[int, str]:
    """Find the rows of two Arrow columns that may not travel.

    Returns
    -------
    dict
        Row position to the reason; empty, at the cost of two scans, when all is well.
    """
    refused: dict[int, str] = {}
    for name, column in (("query", query), ("title", title)):
        for row, reason in _refused_texts(column, max_text_bytes).items():
            refused[row] = f"{refused[row]}; {name} {reason}" if row in refused else f"{name} {reason}"
    return refused


def _refused_texts(column: pa.StringArray, max_text_bytes: int) -> dict[int, str]:
    refused: dict[int, str] = {}
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        for row, text in enumerate(column.view(pa.binary())):
            if text.is_valid and not _is_utf8(text.as_py()):
                refused[row] = NOT_UTF8
    if column.null_count:
        refused.update(dict.fromkeys(pc.indices_nonzero(column.is_null()).to_pylist(), NULL))
    sizes = pc.binary_length(column)
    for row in pc.indices_nonzero(pc.greater(sizes, max_text_bytes)).to_pylist():
        refused[row] = too_long(sizes[row].as_py(), max_text_bytes)
    return refused


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
