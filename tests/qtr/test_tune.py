"""Tuning: the front, the choice, the file that serve reads, and a real sweep of one point."""

from __future__ import annotations

from pathlib import Path

import pytest

from grpc_server.settings import ServerSettings
from qtr import load_generator, tune
from tests.support.server_process import ServerProcess

SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sample" / "pairs.jsonl"


def trial(pairs_per_second: float, p99: float) -> tune.Trial:
    return tune.Trial(1, 32, 4096, pairs_per_second, 1.0, 1.0, p99)


def test_the_front_holds_what_nothing_beats_both_ways() -> None:
    fast, quick, both_worse, equal = trial(100, 20), trial(50, 5), trial(50, 20), trial(100, 20)
    assert tune.pareto_front([fast, quick, both_worse, equal]) == [fast, quick, equal]


def test_a_sweep_writes_what_serve_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "serve.toml"
    words = ["--pairs", str(SAMPLE), "--output", str(output), "--seconds", "0.5", "--p99-ms", "60000", "--cpus", "1"]
    assert tune.main([*words, "--threads", "1", "--micro-batch", "16", "--mixed-batch-tokens", "2048"]) == 0
    settings = ServerSettings.parse(["--config", str(output)])
    assert (settings.threads, settings.micro_batch, settings.mixed_batch_tokens) == (1, 16, 2048)
    assert "Pareto" in capsys.readouterr().out


def test_a_bound_that_nothing_meets_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "serve.toml"
    words = ["--pairs", str(SAMPLE), "--output", str(output), "--seconds", "0.5", "--p99-ms", "0.001", "--cpus", "1"]
    assert tune.main([*words, "--threads", "1", "--micro-batch", "16", "--mixed-batch-tokens", "2048"]) == 1
    assert "no combination keeps the p99 within 0.001 ms" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read as pairs"),
        ("{", "cannot be read as pairs"),
        ('{"query": "a"}', "'title'"),
        ("", "0 usable"),
    ],
)
def test_pairs_that_are_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, expected: str
) -> None:
    source = tmp_path / "pairs.jsonl"
    if text is not None:
        source.write_text(text)
    with pytest.raises(SystemExit):
        tune.read_pairs(source, "qtr plan")
    said = capsys.readouterr().err
    assert "qtr plan" in said
    assert expected in said


def test_the_load_counts_what_was_answered(server: ServerProcess) -> None:
    pairs = tune.read_pairs(SAMPLE, "qtr tune")
    measured = load_generator.run(
        server.address,
        pairs,
        load_generator.Load(bulk_callers=2, rows=64, interactive_callers=2, warm_up_seconds=0.1, seconds=0.5),
    )
    assert measured.errors == {}
    assert measured.bulk_pairs >= 64 * len(measured.bulk_latencies) > 0
    assert measured.calls_per_second > 0
    assert load_generator.percentile(measured.interactive_latencies, 0.5) <= load_generator.percentile(
        measured.interactive_latencies, 0.99
    )


def test_the_load_counts_failures() -> None:
    measured = load_generator.run(
        "127.0.0.1:1", [("a", "b")] * 64, load_generator.Load(bulk_callers=1, rows=64, warm_up_seconds=0.0, seconds=0.1)
    )
    assert set(measured.errors) == {"UNAVAILABLE"}
    assert measured.bulk_pairs == 0


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert load_generator.percentile([], 0.5) != load_generator.percentile([], 0.5)
    assert load_generator.percentile([0.001, 0.003, 0.002], 0.5) == 2.0
