"""A run that cannot be made writes nothing and says why in one sentence."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.spark_jobs.conftest import run, write_pairs
from tests.support.scripted_server import ScriptedServer
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, server: ServerProcess) -> Callable[..., str]:
    """Run something that must fail: returns its message after checking that it is one and that nothing was written."""

    def fail(status: int, *flags: str, target: str | None = None) -> str:
        output = tmp_path / "output"
        assert run("--output", str(output), "--target", target or server.address, *flags) == status
        captured = capsys.readouterr()
        assert captured.err.startswith("qtr label: ")
        assert captured.err.count("\n") == 1
        assert "Traceback" not in captured.out + captured.err
        # Tasks that ended before the failure may have committed their scores.
        assert not output.exists() or [path.name for path in output.iterdir()] == ["scores"]
        return captured.err.strip()

    return fail


class TestInputErrors:
    """One sentence that names the culprit, exit status 2, nothing written."""

    def test_missing_path(self, refused: Callable[..., str], tmp_path: Path) -> None:
        assert refused(2, "--input", str(tmp_path / "no")) == f"qtr label: input {tmp_path / 'no'} does not exist"

    @pytest.mark.parametrize("name", ["pairs.jsonl.gz", "lake.shop.pairs", "pairs"])
    def test_a_name_that_could_be_a_tables(self, refused: Callable[..., str], name: str) -> None:
        assert refused(2, "--input", name) == f"qtr label: input {name} does not exist"

    def test_empty_folder(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "_SUCCESS").touch()
        assert refused(2, "--input", str(tmp_path / "in")).endswith("holds no files")

    @pytest.mark.parametrize("name", ["empty.jsonl", "empty.csv"])
    def test_an_empty_file(self, refused: Callable[..., str], tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert refused(2, "--input", str(tmp_path / name)) == f"qtr label: the input {tmp_path / name} has no rows"

    def test_no_rows(self, refused: Callable[..., str], tmp_path: Path) -> None:
        file = write_pairs(tmp_path / "a.parquet", [])
        assert refused(2, "--input", str(file)) == f"qtr label: the input {file} has no rows"

    def test_unknown_extension(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "a.xls").write_text("x")
        assert "give --input-format parquet, csv or json" in refused(2, "--input", str(tmp_path / "a.xls"))

    def test_missing_column_names_what_there_is(self, refused: Callable[..., str], tmp_path: Path) -> None:
        file = write_pairs(tmp_path / "a.parquet", [("a", "b")])
        sentence = refused(2, "--input", str(file), "--title-column", "item")
        assert "no column 'item' (--title-column), it has 'id' (bigint), 'query' (string), 'title' (string)" in sentence

    def test_csv_without_header(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("kettle,red kettle\n")
        assert "the first line of a CSV file must name its columns" in refused(2, "--input", str(tmp_path / "a.csv"))

    def test_column_of_another_type(self, refused: Callable[..., str], tmp_path: Path) -> None:
        file = write_pairs(tmp_path / "a.parquet", [("a", "b")])
        sentence = refused(2, "--input", str(file), "--query-column", "id")
        assert "column 'id' is bigint, expected string (--query-column)" in sentence

    def test_column_with_the_name_of_a_result(self, refused: Callable[..., str], tmp_path: Path) -> None:
        pq.write_table(pa.table({"query": ["a"], "title": ["b"], "Score": [1.0]}), tmp_path / "a.parquet")
        assert "column 'Score' of the input" in refused(2, "--input", str(tmp_path / "a.parquet"))

    def test_the_same_column_twice(self, refused: Callable[..., str], tmp_path: Path) -> None:
        file = write_pairs(tmp_path / "a.parquet", [("a", "b")])
        assert "both name the column 'query'" in refused(2, "--input", str(file), "--title-column", "query")

    @pytest.mark.parametrize("damage", ["end", "middle", "everything"])
    def test_damaged_parquet(self, refused: Callable[..., str], tmp_path: Path, damage: str) -> None:
        write_pairs(tmp_path / "in" / "a.parquet", [("a", "b")] * 50)
        file = write_pairs(tmp_path / "in" / "b.parquet", [(f"query {row}", "b") for row in range(50)])
        content = file.read_bytes()
        middle = len(content) // 2
        file.write_bytes(
            {
                "end": content[:-9],
                "middle": content[:4] + b"\xff" * (middle - 4) + content[middle:],
                "everything": b"no parquet",
            }[damage]
        )
        sentence = refused(2, "--input", str(tmp_path / "in"))
        assert sentence.startswith(f"qtr label: cannot read {file}: it ")

    def test_malformed_json(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.json").write_text('{"query": "a", "title": "b"}\n')
        (tmp_path / "in" / "b.json").write_text('{"query": "a", "title": "b"}\n{"query": "a", "ti\n')
        sentence = refused(2, "--input", str(tmp_path / "in"))
        file = tmp_path / "in" / "b.json"
        assert sentence.startswith(f"qtr label: cannot read {file}, line 2: it is not valid JSON (Unterminated string")

    def test_malformed_csv(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("query,title\na,b\na,b,c,d\n")
        sentence = refused(2, "--input", str(tmp_path / "a.csv"))
        assert sentence == f"qtr label: cannot read {tmp_path / 'a.csv'}, line 3: it has 4 fields, the header has 2"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "--input is required"),
        (["--input", "x", "--run-date", "2026-13-01"], "expected a date such as 2026-11-01, not '2026-13-01'"),
        (["--input", "x", "--run-date", "20261101"], "expected a date such as 2026-11-01, not '20261101'"),
        (["--input", "x", "--in-flight", "0"], "--in-flight"),
    ],
)
def test_a_wrong_flag_is_one_sentence(refused: Callable[..., str], flags: list[str], sentence: str) -> None:
    assert sentence in refused(2, *flags)


def test_an_unreachable_target_is_one_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "a.parquet", [("a", "b")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        sentence = refused(1, "--input", str(file), "--retry-budget-seconds", "0.5", target=target)
    assert sentence.startswith(f"qtr label: no answer from {target} after ")


def test_a_refusal_within_a_task_is_the_servers_sentence(refused: Callable[..., str], tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "a.parquet", [("a", "b")])
    with ScriptedServer([{"status": "PERMISSION_DENIED", "details": "not for you"}] * 4) as server:
        sentence = refused(2, "--input", str(file), target=server.address)
    assert sentence == f"qtr label: {server.address} refused the request: PERMISSION_DENIED, not for you"


def test_two_model_versions_in_one_run_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "a.parquet", [(f"q{row}", "b") for row in range(20)])
    with ScriptedServer([{}, {}, *[{"model": {"name": "scripted", "version": "2"}}] * 20]) as server:
        sentence = refused(1, "--input", str(file), "--rows-per-rpc", "2", target=server.address)
    assert sentence == f"qtr label: {server.address} answered by model scripted 2, expected scripted 1"
