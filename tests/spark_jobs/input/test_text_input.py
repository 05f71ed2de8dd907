"""CSV and JSON lines: texts come out as they were written, and an error is named by file and line."""

from __future__ import annotations

import bz2
import gzip
import json
from typing import Any

import pyarrow as pa
import pytest

from spark_jobs.errors import InputError
from spark_jobs.input import text_input
from tests.spark_jobs.input.conftest import JSON, PLAIN, PLAIN_ROWS, Content, Read

ACCENTS = "query,title\ncafetière,Cafetière à piston\nmöbel,Grüner Sessel\n"
ACCENT_ROWS = [("cafetière", "Cafetière à piston"), ("möbel", "Grüner Sessel")]


def zstd(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return bytes(sink.getvalue())


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
    read: Read,
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
    read: Read,
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
        ({"a.csv": "query,title,Title\na,b,c\n"}, "names the column 'title' as 'title' and 'Title'"),
        ({"a.csv": "query,title,title\na,b,c\n"}, "names the column 'title' twice"),
        ({"a.csv": PLAIN, "b.csv": "title,query\na,b\n"}, "b.csv, line 1: .* another order"),
        ({"a.csv": PLAIN, "b.csv": "query,title,cost\na,b,1\n"}, "b.csv, line 1: .* it has 'cost' besides"),
        ({"a.csv": PLAIN, "b.csv": "query,Title\na,b\n"}, "b.csv, line 1: .* lacks 'title' and it has 'Title' besides"),
        ({"a.csv": ""}, "has no rows"),
    ],
)
def test_a_header_or_an_encoding_that_does_not_fit(read: Read, files: dict[str, Content], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(files)


def test_text_parts_may_be_empty_and_differ_in_their_line_ends(read: Read) -> None:
    parts = {
        "a.csv": PLAIN,
        "b.csv": b"",
        "c.csv": "query,title\n",
        "d.csv": PLAIN.replace("\n", "\r\n"),
        "e.csv": "\n",
    }
    assert read(parts) == sorted(PLAIN_ROWS * 2)


@pytest.mark.parametrize(("name", "sentence"), [("klingon", "unknown encoding"), ("UTF-16", "no byte order mark")])
def test_an_encoding_that_cannot_be_used(read: Read, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"{sentence}"):
        read({"a.csv": PLAIN}, encoding=name)
