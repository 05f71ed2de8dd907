"""Reports and gates of whole runs: what is published, what is held back, and what the user sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq
import pytest

from spark_jobs.label_pairs import main
from spark_jobs.storage.filesystem import HadoopFileSystem
from tests.qtr_runtime.test_html import Seen
from tests.spark_jobs.conftest import Text, write_pairs
from tests.support.scripted_server import ScriptedServer, score_of

pytestmark = pytest.mark.usefixtures("spark")

GOOD: list[tuple[Text, Text]] = [(f"query {row % 40}", f"title {row}") for row in range(120)]
BAD: list[tuple[Text, Text]] = [*GOOD[:60], *[(None, f"title {row}") for row in range(50)]]


class Runs:
    """An output folder, and runs into it."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder, self.target = folder, target

    def run(self, day: str, pairs: list[tuple[Text, Text]], *flags: str) -> int:
        file = write_pairs(self.folder / "in" / f"{day}.parquet", pairs)
        common = ["--output", str(self.folder / "out"), "--target", self.target, "--partitions", "4"]
        common += ["--log-format", "json"]
        return main(["--input", str(file), "--run-date", f"2026-11-{day}", *common, *flags])

    def report(self, day: str, name: str = "report.json") -> dict[str, Any]:
        path = self.folder / "out" / "reports" / f"run_date=2026-11-{day}" / name
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def names(self, day: str) -> list[str]:
        return sorted(each.name for each in (self.folder / "out" / "reports" / f"run_date=2026-11-{day}").iterdir())

    def run_ids(self, day: str) -> set[str]:
        labels = self.folder / "out" / "labels" / f"run_date=2026-11-{day}"
        return set(pq.ParquetDataset(labels).read(["run_id"]).column(0).to_pylist()) if labels.exists() else set()


@pytest.fixture
def runs(tmp_path: Path, scripted: ScriptedServer) -> Runs:
    return Runs(tmp_path, scripted.address)


def test_a_published_run_and_the_next_one(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.run("01", GOOD) == 0
    first = runs.report("01")
    assert runs.names("01") == ["report.html", "report.json"]
    assert (first["verdict"], first["drift"]) == ("published", None)
    assert first["rows"] == {"in": 120, "out": 120, "labelled": 120, "rejected": 0, "failed": 0}
    assert first["pairs"] == {"distinct": 120, "new": 120, "failed": 0}
    assert runs.run_ids("01") == {first["run_id"]}
    assert {"read", "score", "publish", "report", "total"} <= set(first["seconds"])
    assert sum(task["rows"] for task in first["partitions"]["slowest"]) == 120
    assert first["throughput"]

    assert runs.run("02", [*GOOD[:100], (None, "title")]) == 0
    second = runs.report("02")
    assert second["pairs"] == {"distinct": 100, "new": 0, "failed": 0}
    assert second["errors"] == {"INVALID_ARGUMENT: query is null": 1}
    assert second["drift"]["against"]["run_id"] == first["run_id"]
    assert second["drift"]["scores"]["reading"] == "too few rows"

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "title " not in json.dumps(events)
    finished = [event for event in events if event["msg"] == "run finished"]
    assert [event["rows"] for event in finished] == [first["rows"], second["rows"]]
    last = [event for event in events if event["msg"] == "progress" and event.get("rows_done") == 120][-1]
    assert (last["step"], last["rows_total"], last["retries"]) == ("score", 120, 0)
    page = (runs.folder / "out" / "reports" / "run_date=2026-11-02" / "report.html").read_text(encoding="utf-8")
    assert "query is null" in Seen(page).text


def test_a_held_run_is_reported_and_not_published(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--gate", "rejected_rows=fail:0.05")
    assert runs.run("01", BAD, *flags) == 3
    sentence = capsys.readouterr().err
    assert sentence.startswith("qtr label: the run was held back, nothing was published: rejected_rows is 45.5%, ")
    assert "report.html" in sentence
    assert sentence.count("\n") == 1
    held = runs.report("01")
    assert (held["verdict"], held["published"]) == ("held back", False)
    assert runs.run_ids("01") == set()

    assert runs.run("01", BAD, *flags, "--publish-anyway") == 0
    anyway = runs.report("01")
    assert (anyway["verdict"], anyway["pairs"]["new"]) == ("published anyway", 0)
    assert runs.run_ids("01") == {anyway["run_id"]}


def test_a_held_attempt_leaves_what_was_published_and_its_report(runs: Runs) -> None:
    assert runs.run("01", GOOD) == 0
    published = runs.report("01")
    for _ in range(2):
        assert runs.run("01", BAD, "--gate", "rejected_rows=fail:0.05") == 3
        assert runs.names("01") == ["published.json", "report.html", "report.json"]
        assert runs.report("01", "published.json") == published
        assert runs.run_ids("01") == {published["run_id"]}
    assert runs.run("02", GOOD) == 0
    assert runs.report("02")["drift"]["against"]["run_id"] == published["run_id"]
    assert runs.run("01", GOOD) == 0
    assert runs.names("01") == ["report.html", "report.json"]


def test_a_gate_that_only_warns_lets_the_run_pass(runs: Runs) -> None:
    assert runs.run("01", BAD) == 0
    report = runs.report("01")
    assert report["verdict"] == "published with warnings"
    assert [gate["name"] for gate in report["gates"] if gate["state"] == "warned"] == ["rejected_rows"]


NULLS: list[tuple[Text, Text]] = [("query", None)] * 120
MOSTLY_NULLS: list[tuple[Text, Text]] = [*GOOD[:50], *NULLS[:70]]


def test_a_run_without_labels_does_not_replace_a_good_one(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.run("01", GOOD) == 0
    published = runs.run_ids("01")
    for pairs, sentences in {
        tuple(NULLS): ("labelled_rows is 0%, expected at least 50%", "replaced_rows is 0%, expected at least 50%"),
        tuple(MOSTLY_NULLS): ("labelled_rows is 41.7%", "replaced_rows is 41.7%"),
        tuple(GOOD[:12]): ("replaced_rows is 10%",),
    }.items():
        capsys.readouterr()
        assert runs.run("01", list(pairs)) == 3
        printed = capsys.readouterr().err
        assert all(sentence in printed for sentence in sentences)
        assert runs.run_ids("01") == published
    # Where nothing is published yet, a tenth of the rows only warns, and no labels at all hold the run back.
    assert runs.run("02", GOOD[:10]) == 0
    assert [gate["name"] for gate in runs.report("02")["gates"] if gate["state"] == "warned"] == ["rows_change"]
    assert runs.run("03", NULLS[:1]) == 3
    assert runs.run_ids("03") == set()


def test_a_damaged_partition_is_replaced_by_as_many_rows_and_not_by_one(runs: Runs) -> None:
    assert runs.run("01", GOOD) == 0
    for file in (runs.folder / "out" / "labels" / "run_date=2026-11-01").glob("*.parquet"):
        file.write_bytes(b"PAR1 cut off")
        file.with_name(f".{file.name}.crc").unlink()
    assert runs.run("01", GOOD[:1]) == 3
    (replaced,) = (gate for gate in runs.report("01")["gates"] if gate["name"] == "replaced_rows")
    assert (replaced["state"], replaced["note"]) == ("failed", "1 labelled rows for 120")
    assert runs.run("01", GOOD[:1]) == 3  # by the report that is kept
    assert runs.run("01", GOOD) == 0


def test_a_wrong_gate_is_one_sentence(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runs.run("01", GOOD, "--gate", "speed=1")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("qtr label: --gate: there is no gate 'speed'; the gates are ")


def test_a_report_that_cannot_be_written_is_one_sentence_after_the_labels(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError(
            "An error occurred while calling o1.rename.\n: java.io.IOException: no answer\n\tat a.B.c(D)"
        )

    monkeypatch.setattr(HadoopFileSystem, "replace_text", fail)
    assert runs.run("01", GOOD) == 1
    assert capsys.readouterr().err.endswith(
        "labels/run_date=2026-11-01 is published, but its report could not be written: "
        "RuntimeError: java.io.IOException: no answer (--debug shows more)\n"
    )
    assert len(runs.run_ids("01")) == 1


def test_judged_pairs_are_measured_beside_the_runs_before(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    judged = runs.folder / "judged.csv"
    pairs = [(str(query), str(title)) for query, title in GOOD]
    scores = [score_of(query, title) for query, title in pairs]
    middle = sorted(scores)[60]
    # What people say is the score's half, so all pairs are ranked right; two pairs are not in the run.
    rows = [f"{q},{t},{'yes' if score >= middle else 'no'}" for (q, t), score in zip(pairs, scores, strict=True)]
    judged.write_text("\n".join(["query,title,label", *rows, "other,pair,yes", "not,judged,", "more,of it,no"]) + "\n")
    flags = ("--judged", str(judged))
    assert runs.run("01", GOOD) == 0
    assert runs.report("01")["judged"] is None
    assert runs.run("02", GOOD, *flags) == 0
    first = runs.report("02")["judged"]
    assert (first["pairs"], first["known"], first["auc"]) == (120, 122, 1.0)
    said = [score >= 0.5 for score in scores]
    right = sum(one and score >= middle for one, score in zip(said, scores, strict=True))
    assert first["precision"] == pytest.approx(right / sum(said))
    assert runs.run("03", GOOD[:50], *flags) == 0
    assert runs.report("03")["judged"]["pairs"] == 50
    seen = Seen((runs.folder / "out" / "reports" / "run_date=2026-11-03" / "report.html").read_text(encoding="utf-8"))
    table = seen.text[seen.text.index("Judged pairs") :]
    assert table.index("2026-11-03") < table.index("2026-11-02")
    assert runs.run("04", GOOD, "--judged", str(judged), "--judged-relevant", "maybe") == 0
    assert runs.report("04")["judged"]["recall"] is None
    capsys.readouterr()
    assert runs.run("05", GOOD, "--judged", str(runs.folder / "gone.csv")) == 2
    assert "--judged: " in capsys.readouterr().err
    assert runs.run_ids("05") == set()
