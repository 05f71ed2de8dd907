"""The settings of a run that concern its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

InputFormat = Literal["auto", "parquet", "csv", "json"]


@dataclass(frozen=True)
class InputOptions:
    """The input, and how to read it.

    Attributes
    ----------
    paths
        Files, folders, globs, or tables of Spark's catalog.
    format
        Format of the files; `auto` goes by their names.
    query_column, title_column
        The two text columns.
    delimiter
        What separates the fields of a CSV file; `None` goes by the file's name.
    encoding
        Encoding of text files.
    """

    paths: Sequence[str]
    format: InputFormat = "auto"
    query_column: str = "query"
    title_column: str = "title"
    delimiter: str | None = None
    encoding: str = "UTF-8"
