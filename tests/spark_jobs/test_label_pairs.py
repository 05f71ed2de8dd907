"""Whole runs in this process, on the real server: every row once, with its score or its reason."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from grpc_client import ClientConfig, RelevanceClient
from spark_jobs.scoring.schema import OUTPUT_COLUMNS
from tests.spark_jobs.conftest import Text, labels, run, write_pairs
from tests.support.scrape import read_metrics
from tests.support.scripted_server import ScriptedServer
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.usefixtures("spark")

ROWS: list[tuple[Text, Text]] = [
    ("usb cable", "usb c cable 2 m"),
    ("kettle", "electric kettle 1.7 l"),
    ("usb cable", "usb c cable 2 m"),
    (None, "electric kettle 1.7 l"),
    ("kettle", None),
    ("", "electric kettle 1.7 l"),
    ("kettle", "   "),
    ("kettle", "\x01\x02\x03"),
    ("a\ud800b", "electric kettle 1.7 l"),
    ("kettle", b"\xff\xfe\xfd"),
    ("سماعات", "سماعات لاسلكية \u202eabc"),
    ("🎧", "headphones 🎧"),
    ("x" * 100_000, "kettle"),
    ("usb cable", "usb c cable 2 m"),
    (None, None),
    (None, "electric kettle 1.7 l"),
]


def assert_settled(output: Path) -> None:
    """Nothing lies about in an output that no run works on."""
    assert {path.name for path in output.iterdir()} <= {"labels", "scores", "reports"}
    assert not list(output.rglob("_temporary"))


def test_every_row_is_published_once_with_its_score_or_its_reason(
    tmp_path: Path, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "in" / "pairs.parquet", ROWS)
    output = tmp_path / "out"
    flags = ["--input", str(tmp_path / "in"), "--output", str(output), "--target", server.address]
    flags += ["--run-date", "2026-11-01", "--log-format", "json", "--rows-per-rpc", "3"]
    # Most of them have no label, which the gate would not pass.
    flags += ["--gate", "labelled_rows=0.3", "--explain", "2"]
    before = read_metrics(server.metrics_address)
    assert run(*flags) == 0
    after = read_metrics(server.metrics_address)
    explain = {"grpc_method": "Explain", "grpc_code": "OK"}
    answered = [sum(scrape.values("grpc_server_handled_total", **explain)) for scrape in (before, after)]
    assert answered[1] - answered[0] == 2
    page = (output / "reports" / "run_date=2026-11-01" / "report.html").read_text(encoding="utf-8")
    assert page.count('<span class="words">') == 4
    # Bytes that are not UTF-8 are published as they came, so Spark reads them but Python cannot.
    table = pq.ParquetDataset(output / "labels" / "run_date=2026-11-01").read()
    assert table.schema.names == ["id", "query", "title", *(name for name in OUTPUT_COLUMNS if name != "run_date")]
    rows = sorted(table.drop_columns(["query", "title"]).to_pylist(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(len(ROWS)))

    with RelevanceClient(ClientConfig(server.address)) as client:
        info = client.model()
        reasons = {
            3: "query is null",
            4: "title is null",
            8: "query is not valid UTF-8",
            9: "title is not valid UTF-8",
            12: f"query has 100000 bytes, the limit is {info.limits.max_text_bytes}",
            14: "query is null; title is null",
            15: "query is null",
        }
        for row, pair in zip(rows, ROWS, strict=True):
            if row["id"] in reasons:
                expected: tuple[Any, ...] = (None, None, "INVALID_ARGUMENT", reasons[row["id"]])
            else:
                query, title = pair
                alone = client.score(str(query), [str(title)]).titles[0]
                expected = (
                    (pytest.approx(alone.score, abs=1e-5), alone.label, "OK", None)
                    if alone.error is None
                    else (None, None, alone.error.code, alone.error.reason)
                )
            assert (row["score"], row["label"], row["status"], row["error"]) == expected
            assert (row["model_name"], row["model_version"]) == (info.ref.name, info.ref.version)
            assert row["scored_at"].tzinfo is not None
    assert Counter(row["status"] for row in rows) == {"OK": 6, "INVALID_ARGUMENT": 10}
    assert len({row["run_id"] for row in rows}) == 1

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    report = events[-1]
    assert report["msg"] == "run finished"
    assert (report["rows"]["in"], report["rows"]["out"]) == (len(ROWS), len(ROWS))
    assert report["pairs"] == {"distinct": 7, "new": 7, "failed": 0}
    assert sum(report["labels"].values()) == 6
    assert report["errors"]["INVALID_ARGUMENT: query is null"] == 2
    assert report["errors"]["INVALID_ARGUMENT: query has too many bytes, the limit is 8192"] == 1
    assert report["run_id"] == rows[0]["run_id"]
    assert "kettle" not in json.dumps(events)
    assert_settled(output)


def test_a_run_replaces_its_own_date_and_no_other(tmp_path: Path, server: ServerProcess) -> None:
    write_pairs(tmp_path / "one.parquet", [("kettle", "electric kettle")])
    write_pairs(tmp_path / "two.parquet", [("kettle", "electric kettle"), ("kettle", "usb cable")])
    common = ["--output", str(tmp_path / "out"), "--target", server.address]
    for file, day in (("one", "01"), ("one", "02"), ("two", "01")):
        assert run("--input", str(tmp_path / f"{file}.parquet"), "--run-date", f"2026-11-{day}", *common) == 0
    first, second = labels(tmp_path / "out"), labels(tmp_path / "out", "02")
    assert ([row["id"] for row in first], [row["id"] for row in second]) == ([0, 1], [0])
    assert first[0]["score"] == second[0]["score"]
    assert first[0]["run_id"] != second[0]["run_id"]


def test_the_output_and_columns_of_any_name(tmp_path: Path, server: ServerProcess) -> None:
    (tmp_path / "pairs[1].csv").write_text(
        "query,title,id,__qtr_row_error_0,pair_key,_corrupt_record\na,b,0,1,2,x\n,b,1,3,4,y\n"
    )
    flags = [
        "--input",
        str(tmp_path / "pairs[1].csv"),
        "--output",
        str(tmp_path / "{out}[1]"),
        "--target",
        server.address,
    ]
    for _ in range(2):  # the second reads what the first has stored
        assert run(*flags, "--run-date", "2026-11-01") == 0
        rows = labels(tmp_path / "{out}[1]")
        assert [row["status"] for row in rows] == ["OK", "INVALID_ARGUMENT"]
        names = ["__qtr_row_error_0", "pair_key", "_corrupt_record"]
        assert [[row[name] for name in names] for row in rows] == [["1", "2", "x"], ["3", "4", "y"]]


def test_csv_and_json_with_columns_of_other_names(tmp_path: Path, server: ServerProcess) -> None:
    (tmp_path / "a.csv").write_text('id,search.query,item\n1,kettle,"a ""small"", red\nkettle"\n2,,plate\n')
    lines = [{"id": "1", "search.query": "kettle", "item": 'a "small", red\nkettle'}, {"id": "2", "item": "plate"}]
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    flags = ["--query-column", "search.query", "--title-column", "item", "--target", server.address]
    answers = []
    for name in ("a.csv", "b.jsonl.gz"):
        output = tmp_path / f"out-{name}"
        assert run("--input", str(tmp_path / name), "--output", str(output), "--run-date", "2026-11-01", *flags) == 0
        answers.append(labels(output))
    assert [row["item"] for row in answers[0]] == ['a "small", red\nkettle', "plate"]
    assert [row["error"] for row in answers[0]] == [None, "query is null"]
    keys = ["id", "search.query", "item", "score", "label", "status", "error"]
    assert [[row[key] for key in keys] for row in answers[0]] == [[row[key] for key in keys] for row in answers[1]]


def test_the_summary_on_a_terminal(
    tmp_path: Path, server: ServerProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is no terminal is shown no texts; this is one, but a plain one.
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    file = write_pairs(tmp_path / "a.parquet", [("kettle", "electric \x1b[31mkettle"), (None, "plate")])
    flags = ["--input", str(file), "--output", str(tmp_path / "out"), "--target", server.address]
    assert run(*flags, "--run-date", "2026-11-01", "--log-format", "text") == 0
    text = capsys.readouterr().out
    assert "2 of 2 published, 1 of them without a label" in text
    assert "1 row: INVALID_ARGUMENT: query is null" in text
    assert "rows/s" in text
    assert "run_date=2026-11-01" in text
    assert "\\x1b[31mkettle" in text
    assert "\x1b" not in text


def test_a_failed_run_leaves_what_earlier_runs_labels(tmp_path: Path, server: ServerProcess) -> None:
    file = write_pairs(tmp_path / "a.parquet", [("kettle", "electric kettle")])
    flags = ["--input", str(file), "--output", str(tmp_path / "out"), "--run-date", "2026-11-01"]
    assert run(*flags, "--target", server.address) == 0
    before = labels(tmp_path / "out")
    with ScriptedServer([{"status": "PERMISSION_DENIED"}] * 20) as broken:
        assert run(*flags, "--target", broken.address) == 2
    assert labels(tmp_path / "out") == before
    assert_settled(tmp_path / "out")


def test_rows_are_scored_once_however_often_the_result_is_used(tmp_path: Path) -> None:
    pairs = [(f"q{row % 50}", f"t{row % 50}") for row in range(200)]
    file = write_pairs(tmp_path / "a.parquet", pairs)
    with ScriptedServer() as server:
        assert run("--input", str(file), "--output", str(tmp_path / "out"), "--target", server.address) == 0
        rows = sum(call["rows"] for call in server.finished_calls() if call["method"] == "ScoreBatch")
    assert rows == 50
