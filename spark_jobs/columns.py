"""Columns by name, whatever characters a name has."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from pyspark.sql import Column, DataFrame


def quoted(name: str) -> str:
    """Return a column's name as Spark SQL quotes it.

    Examples
    --------
    >>> quoted("search.query")
    '`search.query`'
    >>> quoted("a`b")
    '`a``b`'
    """
    return f"`{name.replace('`', '``')}`"


def column(frame: DataFrame, name: str) -> Column:
    """Return a column of a DataFrame by its name: dots and back-quotes in it are literal."""
    return frame[quoted(name)]


def unused_names(columns: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return, for each wanted name, a similar one that no column has; Spark ignores case in names.

    Examples
    --------
    >>> unused_names(["query", "__QTR_key_0"], ["key", "error"])
    {'key': '__qtr_key_1', 'error': '__qtr_error_0'}
    """
    taken = {name.lower() for name in columns}
    return {
        name: next(free for number in count() if (free := f"__qtr_{name}_{number}") not in taken) for name in wanted
    }
