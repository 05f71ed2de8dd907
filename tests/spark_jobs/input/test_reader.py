"""Inputs are read unchanged, or refused by a message that names file, line or column, and flag."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.errors import InputError
from spark_jobs.input import text_input
from spark_jobs.input.reader import read_input
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.filesystem import HadoopFileSystem

Content = bytes | str | Any
PLAIN = "query,title\nred shoes,Red sneakers\nusb,USB cable\n"
PLAIN_ROWS = [("red shoes", "Red sneakers"), ("usb", "USB cable")]
PAIR = {"query": ["usb"], "title": ["USB cable"]}
PARQUET = pa.table(PAIR)
INT96 = {"use_deprecated_int96_timestamps": True}
JSON = '{"query":"usb","title":"USB cable"}\n'
ACCENTS = "query,title\ncafetière,Cafetière à piston\nmöbel,Grüner Sessel\n"
ACCENT_ROWS = [("cafetière", "Cafetière à piston"), ("möbel", "Grüner Sessel")]


def zstd(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return bytes(sink.getvalue())


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def archive(name: str, kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as file:
            file.writestr(name, PLAIN)
    else:
        with tarfile.open(fileobj=sink, mode="w:") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(PLAIN)
            tar.addfile(entry, io.BytesIO(PLAIN.encode()))
    return sink.getvalue()


@pytest.fixture
def read(spark: SparkSession, tmp_path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Write files and read them as the input of a run; return the rows, sorted, with the columns asked for."""

    def read_files(
        files: dict[str, Content], *columns: str, path: str = "in", more: Sequence[str] = (), **settings: Any
    ) -> list[tuple[Any, ...]]:
        for name, content in files.items():
            place = tmp_path / "in" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            data = parquet(content) if isinstance(content, pa.Table) else content
            place.write_bytes(data.encode() if isinstance(data, str) else data)
        given = LabelSettings(input=[str(tmp_path / path), *more], output="unused", **settings)
        found = read_input(spark, HadoopFileSystem(spark), given.input_options())
        rows = found.count()
        found.locate()  # the driver's look at all lines agrees with Spark's
        result = [tuple(row) for row in found.frame.select(*(columns or ("query", "title"))).collect()]
        assert len(result) == rows
        return sorted(result, key=str)

    return read_files


@pytest.mark.parametrize(
    ("name", "content", "settings", "rows"),
    [
        ("a.csv", PLAIN, {}, PLAIN_ROWS),
        ("a.csv", "\n\n" + PLAIN, {}, PLAIN_ROWS),
        ("a.csv", PLAIN.replace("\n", "\r\n"), {}, PLAIN_ROWS),
        ("a.csv", PLAIN.replace("\n", "\r"), {}, PLAIN_ROWS),
        ("a.csv", "\ufeff" + PLAIN, {}, PLAIN_ROWS),
        ("a.csv", PLAIN.rstrip("\n") + "\n\n\n", {}, PLAIN_ROWS),
        ("a.csv", 'query,title\na,20" wheel\nb,"17"" tv"\n', {}, [("a", '20" wheel'), ("b", '17" tv')]),
        ("a.csv", 'query,title\n"a","two\nlines, ""x""\r\n"\n', {}, [("a", 'two\nlines, "x"\r\n')]),
        ("a.csv", 'query,title\r\na,"x\r\ny\nz"\r\n', {}, [("a", "x\r\ny\nz")]),
        ("a.csv", b"query,title\n#a,x\0y\n", {}, [("#a", "x\0y")]),
        ("a.csv", 'query,title\n" a "," "\n', {}, [(" a ", " ")]),
        ("a.csv", "query,title\na," + "long " * 50_000 + "\n", {}, [("a", "long " * 50_000)]),
        ("a.csv", PLAIN.replace(",", ";"), {"delimiter": ";"}, PLAIN_ROWS),
        ("a.csv", PLAIN.replace(",", "\t"), {"delimiter": "tab"}, PLAIN_ROWS),
        ("a.csv", PLAIN.replace(",", "\\"), {"delimiter": "\\"}, PLAIN_ROWS),
        ("a.tsv", PLAIN.replace(",", "\t"), {}, PLAIN_ROWS),
        ("a.tsv.gz", gzip.compress(PLAIN.replace(",", "\t").encode(), mtime=0), {}, PLAIN_ROWS),
        ("a.csv.gz", gzip.compress(PLAIN.encode(), mtime=0), {}, PLAIN_ROWS),
        ("a.csv.bz2", bz2.compress(PLAIN.encode()), {}, PLAIN_ROWS),
        ("a.csv.zst", zstd(PLAIN), {}, PLAIN_ROWS),
        ("a.jsonl.zst", zstd(JSON), {}, [("usb", "USB cable")]),
        ("a.jsonl.gz", gzip.compress(JSON.encode(), mtime=0), {}, [("usb", "USB cable")]),
        ("a.csv", ACCENTS.encode("cp1252"), {"encoding": "windows-1252"}, ACCENT_ROWS),
        ("a.csv", ACCENTS.encode("utf-8-sig"), {"encoding": "utf-8-sig"}, ACCENT_ROWS),
        ("a.csv", ACCENTS.encode("utf-16"), {"encoding": "UTF-16"}, ACCENT_ROWS),
        ("a.csv", ACCENTS.encode("utf-16-be"), {"encoding": "UTF-16BE"}, ACCENT_ROWS),
        ("a.csv", ("\ufeff" + ACCENTS).encode("utf-16-le"), {"encoding": "UTF-16LE"}, ACCENT_ROWS),
        ("a.csv", ACCENTS.encode("utf-16-le"), {"encoding": "utf-16-le"}, ACCENT_ROWS),
        ("a.csv", ACCENTS.encode("mac-roman"), {"encoding": "mac-roman"}, ACCENT_ROWS),
        ("a.csv", "query,title\n靴,\uff5e①\n".encode("cp932"), {"encoding": "cp932"}, [("靴", "\uff5e①")]),
        ("a.jsonl", '{"query":"é","title":"ü"}\n'.encode("utf-16"), {"encoding": "UTF-16"}, [("é", "ü")]),
        ("a.jsonl", '{"query":"é","title":"ü"}\n'.encode("cp1252"), {"encoding": "cp1252"}, [("é", "ü")]),
        ("a.jsonl", "\ufeff" + JSON + "\n" + JSON, {}, [("usb", "USB cable")] * 2),
        ("a.jsonl", '{"query":501,"title":"} {"}\n{"query":"x","title":null}\n', {}, [("501", "} {"), ("x", None)]),
        ("a.jsonl", '{"query":"\\ud83c\\udf81","title":"\\\\ud800"}\n', {}, [("🎁", "\\ud800")]),
        ("a b%20ü.csv", PLAIN, {}, PLAIN_ROWS),
        ("pairs-2026-11-01T01:30:00.csv", PLAIN, {}, PLAIN_ROWS),
        ("PAIRS.CSV", PLAIN, {}, PLAIN_ROWS),
        ("a.csv", "ORCID," + PLAIN.replace("\nr", "\n1,r").replace("\nu", "\n2,u"), {}, PLAIN_ROWS),
    ],
)
def test_texts_come_out_as_they_were_written(
    read: Callable[..., list[tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: Content,
    settings: dict[str, str],
    rows: list[tuple[Any, ...]],
) -> None:
    monkeypatch.setattr(text_input, "SCANNED_BYTES", -1)
    assert read({name: content}, **settings) == sorted(rows, key=str)


@pytest.mark.parametrize("scanned", [text_input.SCANNED_BYTES, -1], ids=["driver", "spark"])
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", ACCENTS.encode("cp1252"), "line 2: byte 0xe8 is not valid UTF-8; .*--encoding windows-1252"),
        ("a.jsonl", '{"query":"é","title":"x"}\n'.encode("cp1252"), "line 1: byte 0xe9 is not valid UTF-8"),
        ("a.csv", 'query,title\na,"24 inch\nb,c\nd,"17 inch\n', "line 2: a quoted field begins here, and .* in line 4"),
        ("a.csv", 'query,title\na,b\nc,"24 inch\nd,e\n', "line 3: a quoted field begins here and never ends"),
        ("a.csv", 'query,title\na,20" x\nb,"two\nlines"\n', "line 3: .* while line 2 has a quote within an unquoted"),
        (
            "a.csv",
            'query,title\na,20" x\nb,20" "x\nc,d\n20" e,"f\n',
            "line 5: a quoted field begins here and never ends",
        ),
        ("a.csv", 'query,title\na,"24\\" tv"\n', "line 2: .* written twice, not with a backslash"),
        ("a.csv", 'query,title\na,"b" \n', "line 2: a quote that ends a field is followed by more text"),
        ("a.csv", 'query,title\na,"' + "x\n" * 600_000 + '"\n', "line 2: .* longer than 1 MiB"),
        ("a.csv", PLAIN + "a,b,c\n", "line 4: it has 3 fields, the header has 2"),
        ("a.csv", PLAIN + "a\n", "line 4: it has 1 field, the header has 2"),
        ("a.csv", PLAIN + "   \n", "line 4: it has 1 field, the header has 2"),
        ("a.csv", "query,title\na,b\r\nc,d\n", "line 2: it ends with CR LF"),
        ("a.csv", "query,title\r\na,b\nc,d\r\n", "line 2: it has 3 fields"),
        ("a.csv.gz", gzip.compress(PLAIN.encode() * 99, mtime=0)[:-12], "its gzip data are cut off or damaged"),
        ("a.jsonl", JSON + '{"query":"a", "ti\n', "line 2: it is not valid JSON"),
        ("a.jsonl", JSON + JSON.strip() + " " + JSON, "line 2: .*more text follows the object"),
        ("a.jsonl", JSON + JSON.strip() + "}\n", "line 2: .*more text follows the object"),
        ("a.jsonl", JSON + '{"query":"a","title":"b","title":"c"}\n', "line 2: it has the key 'title' twice"),
        ("a.jsonl", JSON + '{"query":"a","title":"b","":1}\n', "line 2: it has a key without a name"),
        ("a.jsonl", JSON + '{"query":"a","title":"b","Title":"c"}\n', "line 2: it has the keys 'title' and 'Title'"),
        ("a.jsonl", JSON + '{"query":"a","Title":"b"}\n', "line 1: the key 'title' is 'Title' elsewhere"),
        (
            "a.jsonl",
            '{"query":"a","title":"b","n":{"x":1}}\n{"query":"a","title":"b","n":{"X":2}}\n',
            "line 1: the key 'x' is 'X' elsewhere",
        ),
        ("a.jsonl", JSON + '{"query":"a","title":"b","n":[{}]}\n', "line 2: the key 'n' has nothing but empty objects"),
        (
            "a.jsonl",
            '{"query":"a","title":"b","n":9007199254740993}\n{"query":"a","title":"b","n":1.5}\n',
            "line 1: the integer 9007199254740993 of 'n' would be rounded",
        ),
        ("a.jsonl", JSON + '{"query":"a","title":"b","n":%s}\n' % ("7" * 39), "line 2: the integer 7+ of 'n' would be"),
        ("a.jsonl", JSON + '{"query":"a","title":"b","n":1e999}\n', "line 2: the number 1e999 is too large"),
        ("a.jsonl", '{"query":"a",\r"title":"b"}\n', "line 1: it has a carriage return within the object"),
        ("a.jsonl", JSON + "\x0c\n", "line 2: it is not valid JSON"),
        ("a.jsonl", JSON + '{"query":"a","title":"\\ud83d x"}\n', "line 2: it has half a surrogate pair"),
        ("a.jsonl", JSON + "42\n", "line 2: expected one object a line"),
        ("a.json", json.dumps([{"query": "a", "title": "b"}], indent=1), "line 1: .*JSON lines"),
    ],
)
def test_a_fault_in_a_text_names_its_line(
    read: Callable[..., list[tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    scanned: int,
    name: str,
    content: Content,
    sentence: str,
) -> None:
    monkeypatch.setattr(text_input, "SCANNED_BYTES", scanned)
    with pytest.raises(InputError, match=rf"^cannot read .*/{name}(, |: ){sentence}"):
        read({name: content})


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.csv": PLAIN.replace(",", ";")}, "a.csv, line 1: the fields are separated by ';'; give --delimiter ';'"),
        ({"a.csv": PLAIN.replace(",", "\t")}, "give --delimiter tab"),
        ({"a.tsv": PLAIN}, "give --delimiter ','"),
        ({"a.csv": '"query";"title"\n"a";"b"\n'}, "the fields are separated by ';'; give --delimiter ';'"),
        ({"a.csv": ACCENTS.encode("utf-32-le")}, "it seems to be UTF-32LE text; give --encoding UTF-32LE"),
        ({"a.csv": ACCENTS.encode("utf-16")}, "a.csv: it is UTF-16 text; give --encoding UTF-16"),
        ({"a.jsonl": JSON.encode("utf-16-le")}, "a.jsonl: it seems to be UTF-16LE text; give --encoding UTF-16LE"),
        (
            {"a.csv": "query, title\na,b\n"},
            r"no column 'title' \(--title-column\), it has 'query' \(string\), ' title'",
        ),
        ({"a.csv": "query,title,Title\na,b,c\n"}, "names the column 'title' as 'title' and 'Title'"),
        ({"a.csv": "query,title,title\na,b,c\n"}, "names the column 'title' twice"),
        ({"a.csv": PLAIN, "b.csv": "title,query\na,b\n"}, "b.csv, line 1: .* another order"),
        ({"a.csv": PLAIN, "b.csv": "query,title,cost\na,b,1\n"}, "b.csv, line 1: .* it has 'cost' besides"),
        ({"a.csv": PLAIN, "b.csv": "query,Title\na,b\n"}, "b.csv, line 1: .* lacks 'title' and it has 'Title' besides"),
        ({"a.csv": ""}, "has no rows"),
        ({"a.csv": archive("a.csv", "zip")}, "a.csv: it is a zip archive"),
        ({"a.csv": archive("a.csv", "tar")}, "a.csv: it is a tar archive"),
        (
            {"a.csv": gzip.compress(PLAIN.encode(), mtime=0)},
            "a.csv: it is compressed with gzip; rename it to end in .gz",
        ),
        ({"a.csv.gz": PLAIN}, "a.csv.gz: its name ends in .gz, but it is not compressed with gzip"),
        ({"a.csv": parquet(PARQUET)}, "a.csv as csv: it is a Parquet file"),
        ({"a.parquet": PARQUET, "manifest.json": "{}"}, "manifest.json is json"),
        ({"a.parquet": PARQUET, "README.md": "x"}, "cannot tell the format of .*README.md"),
        ({"a.parquet": PARQUET, "b.parquet": b""}, "b.parquet: it is empty, and a Parquet file never is"),
        ({"a.parquet": parquet(PARQUET)[:-9]}, "a.parquet: it is a Parquet file whose end is missing"),
        ({"a.parquet": b"PARE" + bytes(20) + b"PARE"}, "a.parquet: it is encrypted"),
        ({"a.parquet": parquet(PARQUET, compression="brotli")}, "a.parquet: its columns are compressed with BROTLI"),
        ({"a.parquet": pa.table({**PAIR, "f": pa.array([1.0], pa.float16())})}, "column 'f' of .*float32"),
        ({"a.parquet": pa.table({**PAIR, "t": pa.array([1], pa.time32("ms"))})}, "column 't' of .*time64"),
        (
            {"a.parquet": pa.table({**PAIR, "n": pa.array([1001], pa.timestamp("ns"))})},
            "column 'n' of .*a.parquet .*finer",
        ),
        (
            {"a.parquet": parquet(pa.table({**PAIR, "n": pa.array([1001], pa.timestamp("ns"))}), **INT96)},
            "column 'n' of .*a.parquet .*finer",
        ),
        (
            {"a.parquet": pa.table({**PAIR, "s": [{"x": 1, "X": 2}]})},
            "column 's' of .*a.parquet has the field 'x' twice",
        ),
        ({"a.parquet": gzip.compress(parquet(PARQUET), mtime=0)}, "a.parquet: it is a file compressed with gzip"),
        ({"a.parquet": pa.table({**PAIR, "l": pa.array([[1]], pa.list_(pa.timestamp("ns")))})}, "column 'l' of"),
        ({"a.parquet": pa.table({"query": ["a"], "title": [b"b"]})}, "column 'title' is binary, expected string"),
        ({"a.parquet": pa.table({**PAIR, "Query": ["b"]})}, "a.parquet has the columns 'query' and 'Query'"),
        ({"a.parquet": pa.table([["a"], ["b"], ["c"]], ["query", "title", "title"])}, "has the column 'title' twice"),
        (
            {"a.parquet": PARQUET, "b.parquet": pa.table({"query": ["a"], "name": ["b"]})},
            "b.parquet has no column 'title'",
        ),
        (
            {"a.parquet": PARQUET, "b.parquet": pa.table({"query": ["a"], "Title": ["b"]})},
            "'Title' of .*b.parquet is 'title'",
        ),
        (
            {"a.parquet": pa.table({**PAIR, "n": ["1"]}), "b.parquet": pa.table({**PAIR, "n": [1]})},
            "column 'n' of .*b.parquet is int64, but in .*a.parquet it is string",
        ),
        ({"run_date=2026-11-01/a.parquet": PARQUET}, "run_date=…, which gives"),
        ({"title=x/a.parquet": PARQUET}, "a.parquet has a column 'title', and a folder above it"),
        (
            {"k=/a.parquet": PARQUET},
            "k=/a.parquet lies in folders named NAME=VALUE of which one has no name or no value",
        ),
        ({"k=1/K=2/a.parquet": PARQUET}, "or whose name comes twice"),
        ({"k=1/a.parquet": PARQUET, "b.parquet": PARQUET}, "folders that give different columns"),
        ({"_delta_log/0.json": "{}", "a.parquet": PARQUET}, "the storage of a Delta table"),
        ({"a.parquet": pa.table({**PAIR, "status": ["x"]})}, "column 'status' of the input"),
    ],
)
def test_what_cannot_be_read_is_refused_by_a_sentence(
    read: Callable[..., list[tuple[Any, ...]]], files: dict[str, Content], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        read(files)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("us", pa.array([1], pa.timestamp("us")), datetime(1970, 1, 1, 0, 0, 0, 1)),
        ("ns", pa.array([1_793_494_923_000_001_000], pa.timestamp("ns")), "2026-11-01 01:02:03.000001"),
        ("ns_utc", pa.array([-1_000], pa.timestamp("ns", "UTC")), "1969-12-31 23:59:59.999999"),
        ("time", pa.array([time(1, 2, 3)], pa.time64("us")), time(1, 2, 3)),
        ("uint64", pa.array([2**64 - 1], pa.uint64()), Decimal(2**64 - 1)),
        ("large", pa.array(["x"], pa.large_string()), "x"),
        ("view", pa.array(["x"], pa.string_view()), "x"),
        ("dictionary", pa.array(["x"]).dictionary_encode(), "x"),
        ("decimal", pa.array([Decimal("1.50")], pa.decimal128(38, 2)), Decimal("1.50")),
        ("binary", pa.array([b"\xff"], pa.binary()), bytearray(b"\xff")),
        ("nested", pa.array([{"a": [1]}]), ([1],)),
        ("_corrupt_record", pa.array(["x"]), "x"),
        ("__qtr_refusal_0", pa.array(["x"]), "x"),
    ],
)
def test_columns_of_any_type_are_carried_through(
    read: Callable[..., list[tuple[Any, ...]]], name: str, column: pa.Array, value: Any
) -> None:
    asked = f"string({name})" if isinstance(value, str) else name
    ((found,),) = read({"a.parquet": pa.table({**PAIR, name: column})}, F.expr(asked))
    assert found == value


def test_timestamps_as_spark_itself_writes_them(read: Callable[..., list[tuple[Any, ...]]]) -> None:
    table = pa.table({**PAIR, "at": pa.array([1_793_494_923_000_001_000], pa.timestamp("ns"))})
    parts = {
        "a.parquet": parquet(table, **INT96),
        "b.parquet": table.set_column(2, "at", table["at"].cast(pa.timestamp("us", "UTC"))),
    }
    assert read(parts, F.expr("string(at)")) == [("2026-11-01 01:02:03.000001",)] * 2


def test_parquet_parts_are_united_by_name(read: Callable[..., list[tuple[Any, ...]]]) -> None:
    parts = {
        "a.parquet": pa.table({"query": ["a"], "title": ["b"], "n": [1], "s": ["x"]}),
        "b.parquet": pa.table({"title": ["d"], "query": ["c"], "n": [2], "s": pa.nulls(1)}),
        "c.parquet": pa.table({"query": ["e"], "title": pa.array(["f"]).dictionary_encode(), "s": ["y"], "n": [3]}),
        "d.parquet": pa.table({"query": ["g"], "title": ["h"]}),
        "more/e.parquet": pa.table({"query": ["i"], "title": ["j"]}),
        "_SUCCESS": b"",
        ".x.parquet.crc": b"crc",
    }
    assert read(parts, "query", "title", "n", "s") == [
        ("a", "b", 1, "x"),
        ("c", "d", 2, None),
        ("e", "f", 3, "y"),
        ("g", "h", None, None),
        ("i", "j", None, None),
    ]


def test_text_parts_may_be_empty_and_differ_in_their_line_ends(read: Callable[..., list[tuple[Any, ...]]]) -> None:
    parts = {
        "a.csv": PLAIN,
        "b.csv": b"",
        "c.csv": "query,title\n",
        "d.csv": PLAIN.replace("\n", "\r\n"),
        "e.csv": "\n",
    }
    assert read(parts) == sorted(PLAIN_ROWS * 2)


@pytest.mark.parametrize("content", [PLAIN, JSON, PARQUET], ids=["csv", "json", "parquet"])
def test_folders_give_columns_as_they_are_named(read: Callable[..., list[tuple[Any, ...]]], content: Content) -> None:
    suffix = "parquet" if isinstance(content, pa.Table) else "csv" if content is PLAIN else "jsonl"
    rows = read({f"sku={sku}/a.{suffix}": content for sku in ("007", "8")}, "sku")
    assert set(rows) == {("007",), ("8",)}


def test_names_of_folders_are_unescaped_as_spark_escapes_them(read: Callable[..., list[tuple[Any, ...]]]) -> None:
    assert set(read({"a%20b=1%2F2/a.csv": PLAIN}, "a b")) == {("1/2",)}


@pytest.mark.parametrize("name", ["pairs[1].csv", "{env}.csv", "what?.csv", "a*b.csv", "run:1/a,b.csv", "[x]/{y}.csv"])
def test_names_are_literal_if_there_is_such_a_file(read: Callable[..., list[tuple[Any, ...]]], name: str) -> None:
    assert read({name: PLAIN}, path=f"in/{name}") == PLAIN_ROWS
    assert read({}, path=f"in/{Path(name).parts[0]}") == PLAIN_ROWS


def test_a_name_with_a_colon_in_the_working_folder(
    read: Callable[..., list[tuple[Any, ...]]], spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read({"01:30:00.csv": PLAIN}) == PLAIN_ROWS
    monkeypatch.chdir(tmp_path / "in")
    assert HadoopFileSystem(spark).matches("01:30:00.csv") == [f"file:{tmp_path}/in/01:30:00.csv"]


def test_a_file_that_two_inputs_name(read: Callable[..., list[tuple[Any, ...]]], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv is named by two inputs"):
        read({"a.csv": PLAIN}, more=[str(tmp_path / "in" / "a.csv")])


def test_links_do_not_bring_rows_twice(read: Callable[..., list[tuple[Any, ...]]], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    assert read({"a.csv": PLAIN}) == PLAIN_ROWS
    (tmp_path / "in" / "latest.csv").symlink_to("a.csv")
    with pytest.raises(InputError, match=r"latest\.csv and .*a\.csv are one file, by a link"):
        read({})


def test_a_glob_names_the_files_that_it_matches(read: Callable[..., list[tuple[Any, ...]]]) -> None:
    files = {"a1.csv": PLAIN, "a2.csv": PLAIN, "b.parquet": PARQUET}
    assert len(read(files, path="in/a[12].csv")) == 4
    assert len(read(files, path="in/*.parquet")) == 1
    assert len(read({"_SUCCESS": "", "a1.csv": PLAIN}, path="in/[^b]*")) == 4
    assert len(read(files, path="in/{a1,a2}.csv")) == 4


@pytest.mark.parametrize("name", ["_pairs.csv", ".pairs.csv"])
def test_a_hidden_name_is_refused_if_it_was_asked_for(read: Callable[..., list[tuple[Any, ...]]], name: str) -> None:
    with pytest.raises(InputError, match=r"begin with '_' or '\.'; rename it"):
        read({name: PLAIN}, path=f"in/{name}")


@pytest.mark.parametrize(("name", "sentence"), [("klingon", "unknown encoding"), ("UTF-16", "no byte order mark")])
def test_an_encoding_that_cannot_be_used(read: Callable[..., list[tuple[Any, ...]]], name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"{sentence}"):
        read({"a.csv": PLAIN}, encoding=name)
