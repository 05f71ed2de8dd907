"""The report as data: every key is documented, nothing in it is a text or a secret."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from spark_jobs.quality.baseline import last_published, read_baseline
from spark_jobs.report.reporter import reported_settings
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.filesystem import HadoopFileSystem
from tests.spark_jobs.report.examples import HOSTILE, report, without_extras

DOCS = Path(__file__).resolve().parents[3] / "docs" / "report.md"
_FREE = {"labels", "errors", "seconds", "settings", "versions"}


def keys_of(value: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, dict) and key not in _FREE | {"drift", "judged", "partitions"}:
            found |= keys_of(inner, f"{name}.")
        else:
            found.add(f"{name}.*" if name == "seconds" else name)
    return found


def documented() -> set[str]:
    table = DOCS.read_text(encoding="utf-8").partition("## report.json")[2]
    cells = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([\w.*]+)`", cell)}


@pytest.mark.parametrize("one", [report(), report(first_run=True), without_extras(report())])
def test_every_key_is_documented_and_every_documented_key_is_there(one: Any) -> None:
    assert keys_of(json.loads(json.dumps(one.as_dict()))) == documented()


def test_the_numbers() -> None:
    whole = report(failed=2000).as_dict()
    assert (whole["verdict"], whole["published"]) == ("held back", False)
    assert whole["rows"] == {"in": 12_000, "out": 12_000, "labelled": 9900, "rejected": 100, "failed": 2000}
    assert whole["pairs"] == {"distinct": 9000, "new": 4000, "failed": 2000}
    assert (whole["rows_per_second"], whole["pairs_per_second"]) == (3000.0, 1000.0)
    assert sum(whole["scores"]["rows"]) == whole["rows"]["labelled"] == sum(whole["labels"].values())
    assert len(whole["scores"]["edges"]) == len(whole["scores"]["rows"]) + 1
    assert whole["drift"]["against"] == {"run_date": "2026-10-31", "run_id": "earlier", "model": "student 0.9.0"}
    assert report(failed=2000, publish_anyway=True).as_dict()["verdict"] == "published anyway"
    assert without_extras(report()).as_dict()["rows_per_second"] is None


def test_texts_are_neither_in_the_json_nor_in_the_event() -> None:
    one = report()
    quoted = {"query", "title", "headphones", "سماعات"}
    for shown in (json.dumps(one.as_dict(), ensure_ascii=False), json.dumps(one.event(), ensure_ascii=False)):
        assert not [word for word in quoted - {"query", "title"} if word in shown]
    assert "samples" not in one.as_dict()


def test_secrets_stay_out_of_the_settings(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t")
    settings = LabelSettings(
        input=["s3a://AKIA:abc%2F@bucket/in", "/plain/with@sign"], output="s3a://user@bucket/out", token_file=token
    )
    shown = reported_settings(settings)
    assert shown["input"] == ["s3a://***@bucket/in", "/plain/with@sign"]
    assert shown["output"] == "s3a://***@bucket/out"
    assert shown["token_file"] == str(token)
    assert not [word for word in ("s3cr3t", "AKIA", "abc%2F") if word in json.dumps(shown)]


def test_the_summary_for_a_person_is_short_and_obeys_no_text() -> None:
    out = io.StringIO()
    report(failed=2000).print(Console(file=out, width=110, force_terminal=True, color_system=None))
    text = out.getvalue()
    assert len(text.splitlines()) <= 25
    for words in ("2026-11-01 held back", "failed_rows is 16.7%, expected at most 1%", "report.html", "strong"):
        assert words in text
    assert "\x1b" not in text
    assert HOSTILE not in text


def test_no_texts_are_printed_where_there_is_no_terminal() -> None:
    shown, logged = io.StringIO(), io.StringIO()
    report().print(Console(file=shown, width=110, force_terminal=True, color_system=None))
    report().print(Console(file=logged, width=110, force_terminal=False))
    summary, samples = logged.getvalue(), shown.getvalue().removeprefix(logged.getvalue())
    assert summary
    assert all(word in samples for word in ("score", "query", "title"))
    assert samples != shown.getvalue()


def test_only_a_published_report_can_be_compared_with() -> None:
    text = json.dumps(report().as_dict())
    found = read_baseline(text)
    assert found is not None
    assert (found.run_date, found.rows, found.model) == (date(2026, 11, 1), 10_003, "student 1.0.0")
    assert found.histogram == report().assessment.summary.histogram
    for other in (json.dumps(report(failed=2000).as_dict()), "", "[1]", "null", '{"published": true}', text[:100]):
        assert read_baseline(other) is None


@pytest.mark.parametrize(
    "change",
    [
        {"rows": {"in": -5}},
        {"rows": {"in": "5"}},
        {"rows": {"in": float("inf")}},
        {"labels": {"yes": float("nan")}},
        {"labels": ["yes"]},
        {"labels": {"yes": 10**400}},
        {"scores": {"rows": [1, -1]}},
        {"scores": {"rows": "12"}},
        {"run_date": "../../victim"},
        {"model": "student"},
    ],
    ids=str,
)
def test_a_report_that_makes_no_sense_is_no_baseline(change: dict[str, Any]) -> None:
    assert read_baseline(json.dumps(report().as_dict() | change)) is None
    assert read_baseline(f'{{"published": {"[" * 100_000}') is None


def test_the_baseline_is_the_newest_earlier_published_run(spark: SparkSession, tmp_path: Path) -> None:
    storage = HadoopFileSystem(spark)
    folder = f"{tmp_path}/re ports#1"

    def write(day: str, name: str, *, held: bool = False, **other: Any) -> None:
        one = report(failed=2000 if held else 3).as_dict() | {"run_date": day} | other
        storage.replace_text(f"{folder}/run_date={day}/{name}", json.dumps(one))

    def found(day: str) -> str | None:
        baseline = last_published(storage, folder, date.fromisoformat(day))
        return None if baseline is None else baseline.run_date.isoformat()

    assert found("2026-11-05") is None
    write("2026-11-05", "report.json")
    assert found("2026-11-05") is None
    assert found("2026-11-04") == "2026-11-05"
    write("2026-11-01", "report.json")
    write("2026-11-03", "report.json", held=True)
    (tmp_path / "re ports#1" / "run_date=soon").mkdir()
    assert found("2026-11-04") == "2026-11-01"
    write("2026-11-03", "published.json")
    assert found("2026-11-04") == "2026-11-03"
    # A run that was deliberately published without labels is no baseline.
    write("2026-11-03", "published.json", labels={"irrelevant": 0})
    assert found("2026-11-04") == "2026-11-01"


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(spark: SparkSession, tmp_path: Path) -> None:
    storage = HadoopFileSystem(spark)
    path = tmp_path / "a b" / "report.json"
    for text in ("first, and longer than the second", "second é"):
        storage.replace_text(str(path), text)
        assert storage.read_text(f"file://{tmp_path}/a b/report.json") == text
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]
    path.write_text("mended by hand")
    assert storage.read_text(str(path)) == "mended by hand"
    with pytest.raises(Exception, match=r"report\.json"):
        storage.replace_text(str(path / "below"), "a file is no folder")
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]
