"""The plan: its arithmetic as properties, its text, and a real measurement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client import ClientConfig
from qtr import plan
from qtr.capacity import Rate, Workload, forecast, replicas_needed
from qtr.throughput import measure, synthetic_pairs
from tests.support.scripted_server import ScriptedServer

GIVEN = ["--pairs-per-second", "12000", "--executors", "10", "--cores", "4", "--start", "01:00"]

workloads = st.builds(
    Workload,
    pairs=st.integers(1, 10**9),
    callers=st.integers(1, 1000),
    in_flight=st.integers(1, 64),
    rows_per_rpc=st.integers(1, 4096),
    overhead_seconds=st.integers(0, 50),
    headroom=st.floats(0, 0.9),
    within_seconds=st.integers(60, 86400),
)
rates = st.builds(Rate, st.floats(1, 1e6), st.just("given"), st.just(1), st.none() | st.floats(1e-7, 1e-3))


@given(workloads, rates, st.integers(1, 5000))
def test_more_replicas_are_never_slower_and_no_faster_than_what_bounds_them(
    workload: Workload, rate: Rate, replicas: int
) -> None:
    one, more = forecast(workload, rate, replicas), forecast(workload, rate, replicas + 1)
    assert more.seconds <= one.seconds
    assert one.pairs_per_second <= min(replicas, workload.calls) * rate.pairs_per_second
    if rate.caller_seconds_per_pair:
        assert one.pairs_per_second <= workload.callers / rate.caller_seconds_per_pair
    assert one.seconds == pytest.approx(workload.overhead_seconds + workload.pairs / one.pairs_per_second)


@given(workloads, st.floats(1, 1e6))
def test_the_fewest_replicas_are_in_time_and_one_less_is_not(workload: Workload, speed: float) -> None:
    rate = Rate(speed, "given")
    needed = replicas_needed(workload, rate)
    if needed is None:
        assert not forecast(workload, rate, workload.calls).in_time
    else:
        if needed <= workload.calls:
            assert forecast(workload, rate, needed).in_time
        if needed > 1:
            assert not forecast(workload, rate, needed - 1).in_time or needed - 1 == workload.calls


def test_the_plan_says_who_calls_who_answers_and_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["--rows", "95000000", "--new", "0.3", "--by", "01:30", *GIVEN]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "28,500,000 pairs: 30% of 95,000,000 rows" in out
    assert "160 calls in flight: executors 10 x cores 4 x in flight 4" in out
    assert "9,600 pairs/s: 12,000 less 20% headroom, as given" in out
    assert "25 min 44 s after 01:00, 4 min 16 s to spare" in out
    assert "yes, fewest, planned" in out


def test_json_has_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["--rows", "95000000", "--new", "0.3", "--by", "29m", "--json", *GIVEN]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pairs"], found["calls"], found["replicas_needed"]) == (28_500_000, 160, 2)
    assert found["plan"]["pairs_per_second"] == 19_200
    assert found["plan"]["seconds"] == pytest.approx(60 + 28_500_000 / 19_200)
    assert found["finish"][11:16] == "01:25"
    assert found["notes"] == []


@pytest.mark.parametrize(
    ("words", "status", "note"),
    [
        (["--by", "6h", "--replicas", "3"], 0, ""),
        (["--by", "30m", "--replicas", "1"], 1, "ending in time takes 6 replicas"),
        (["--by", "1m"], 1, "no number of replicas ends in time"),
        (["--replicas", "500"], 0, "160 calls in flight keep no more than 160 of 500 replicas busy"),
        (["--replicas", "1", "--in-flight", "256"], 0, "one waits 1092 s in the servers' queues"),
        (["--by", "00:59", "--replicas", "1", "--rows-per-rpc", "256"], 0, ""),  # tomorrow's
    ],
)
def test_what_does_not_fit_is_noted(
    words: list[str], status: int, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan.main(["--rows", "95000000", *GIVEN, *words]) == status
    out = " ".join(capsys.readouterr().out.split())
    assert note in out
    assert ("!" in out) == bool(note)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--by", "soon"], "--by: expected a time of day such as 06:00, or a duration such as 2h30m, not 'soon'"),
        (["--by", ""], "--by: expected a time of day"),
        (["--start", "25:00"], "--start: expected a time of day such as 01:00, not '25:00'"),
        (["--rows", "0"], "--rows: "),
    ],
)
def test_flags_that_make_no_sense(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        plan.main(["--rows", "5", *words])
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_service_is_measured_by_what_it_answers() -> None:
    with ScriptedServer() as server:
        found = measure(ClientConfig(server.address, in_flight=2), synthetic_pairs(2048), 0.5)
        calls = [call for call in server.finished_calls() if call["method"] == "ScoreBatch"]
    assert 0 < found.pairs_per_second * 0.5 <= sum(call["rows"] for call in calls)
    assert 0 < found.caller_seconds_per_pair < 1e-2


def test_servers_of_this_machine_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    sample = Path(__file__).resolve().parents[2] / "examples" / "sample" / "pairs.jsonl"
    words = ["--rows", "1000", "--cores", "1", "--seconds", "0.5", "--pairs", str(sample), "--json"]
    assert plan.main(words) == 0
    rate = json.loads(capsys.readouterr().out)["rate"]
    assert rate["pairs_per_second"] > 0
    assert "servers on this machine, which the caller shares, with real pairs" in rate["source"]


def test_a_target_of_a_wrong_form_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan.main(["--rows", "1000", "--target", "k8s:///a", "--seconds", "0.1"])
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "qtr plan: --target: the target k8s:///a has another shape than k8s:///NAMESPACE/SERVICE:PORT\n"
    )
