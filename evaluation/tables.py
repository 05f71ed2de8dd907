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
_SEPARATORS: Final = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


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
        Separator of a text file; by default that of its extension. Only with commas are fields quoted.

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
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if separator is None and kind not in _SEPARATORS:
        raise DataError(f"{path}: expected a .csv, .tsv or .txt file (or one of them as .gz), or a .parquet file")
    separator = separator or _SEPARATORS[kind]
    quoted = separator == ","
    text = _decoded(path)
    header = text.split("\n", 1)[0].removesuffix("\r").removeprefix("\ufeff")
    names = [name.strip('"') if quoted else name for name in header.split(separator)]
    _require(path, columns, names)
    try:
        return pc_csv.read_csv(
            pa.py_buffer(text.removeprefix("\ufeff").encode()),
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


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start})") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
