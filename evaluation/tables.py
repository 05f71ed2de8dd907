"""Readers of tables and of lists of texts: CSV, TSV, Parquet and plain lines, compressed by gzip or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from evaluation.errors import DataError

Columns = dict[str, list[str]]
# By extension. Spreadsheets write a .csv with semicolons where a comma is the decimal sign.
_SEPARATORS: Final = {".csv": ",;\t", ".tsv": "\t", ".txt": "\t"}
_QUOTED: Final = ",;"
_SPREADSHEETS: Final = frozenset({".xlsx", ".xls", ".ods"})


def read_table(path: Path, columns: Sequence[str], *, separator: str | None = None) -> Columns:
    """Read some columns as text; empty cells are "".

    Parameters
    ----------
    path
        A `.csv`, `.tsv` or `.txt` file, plain or `.gz`, with a header; a `.parquet` file; or a folder of
        such files.
    columns
        Names to read.
    separator
        Separator of a text file; by default that of its extension, in a `.csv` a semicolon or a tab if its header has
        the columns then. Only with commas and semicolons are fields quoted.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column or has no row.
    """
    if path.is_dir() or path.suffix == ".parquet":
        table = _parquet(path, columns)
    else:
        table = _delimited(path, columns, separator)
    if table.num_rows == 0:
        raise DataError(f"{path}: has no rows")
    return {name: _texts(path, name, table[name]) for name in columns}


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    if path.is_dir() or path.suffix == ".parquet":
        file = parquet_files(path)[0]
        try:
            return list(pq.read_schema(file).names)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: cannot be read as Parquet ({_first_line(error)})") from None
    _check_kind(path)
    text = _decoded(path)
    if not text.strip():
        raise DataError(f"{path}: is empty; expected a header and rows")
    return _header(path, text, [], None)[1]


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, without blank ones.

    Raises
    ------
    DataError
        If the file cannot be read or has no line.
    """
    lines = [line for line in _decoded(path).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: has no lines")
    return lines


def parquet_files(path: Path) -> list[Path]:
    """Return the files of a source: those of a folder that end in `.parquet`, or the file itself.

    Raises
    ------
    DataError
        If the folder has none.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: has no file that ends in .parquet")
    return files


def _parquet(path: Path, columns: Sequence[str]) -> pa.Table:
    parts = []
    for file in parquet_files(path):
        try:
            schema = pq.read_schema(file)
            _require(file, columns, schema.names)
            parts.append(pq.read_table(file, columns=list(columns), partitioning=None))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: cannot be read as Parquet ({_first_line(error)})") from None
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"{path}: the types of columns differ between its files ({_first_line(error)})") from None


def _delimited(path: Path, columns: Sequence[str], separator: str | None) -> pa.Table:
    if separator is None:
        _check_kind(path)
    text = _decoded(path)
    separator, names = _header(path, text, columns, separator)
    quoted = separator in _QUOTED
    _require(path, columns, names)
    try:
        return pc_csv.read_csv(
            pa.py_buffer(text.encode()),
            parse_options=pc_csv.ParseOptions(
                delimiter=separator, quote_char='"' if quoted else False, newlines_in_values=quoted
            ),
            convert_options=pc_csv.ConvertOptions(
                include_columns=list(columns),
                column_types={name: pa.string() for name in columns},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be read ({_first_line(error)})") from None


def _header(path: Path, text: str, columns: Sequence[str], separator: str | None) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns; in a `.csv`, the header may show that it is not a comma."""
    kind = _kind(path)
    line = text.split("\n", 1)[0].removesuffix("\r")
    candidates = separator or _SEPARATORS[kind]
    split = {one: [_unquoted(name) if one in _QUOTED else name for name in line.split(one)] for one in candidates}
    fitting = (one for one in candidates if columns and set(columns) <= set(split[one]))
    chosen = next(fitting, max(candidates, key=lambda one: len(split[one])) if not columns else candidates[0])
    return chosen, split[chosen]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _require(path: Path, columns: Sequence[str], present: Sequence[str]) -> None:
    missing = [column for column in columns if column not in present]
    if missing:
        raise DataError(f"{path}: column {missing[0]} is missing; the columns are {', '.join(present)}")


def _texts(path: Path, name: str, column: pa.ChunkedArray) -> list[str]:
    try:
        text = column if pa.types.is_string(column.type) else column.cast(pa.string())
        texts: list[str] = pc.fill_null(text, "").to_pylist()
    except UnicodeDecodeError:
        raise DataError(f"{path}: column {name} is not UTF-8") from None
    except pa.ArrowException as error:
        raise DataError(f"{path}: column {name} cannot be read as text ({_first_line(error)})") from None
    return texts


def _check_kind(path: Path) -> None:
    if _kind(path) not in _SEPARATORS:
        raise DataError(
            f"{path}: expected a .csv, .tsv or .txt file (or one of them as .gz), or a .parquet file"
            + (": save the sheet as CSV in UTF-8" if path.suffix in _SPREADSHEETS else "")
        )


def _decoded(path: Path) -> str:
    """Return the text of a file, without a byte order mark."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start}): save it in UTF-8") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
