"""Lease files: what is read of them, and contents that are refused."""

from __future__ import annotations

import os

import pytest

from spark_jobs.storage.lease import describe_lease, lease_text, parse_lease, recorded_dead


def test_a_lease_is_read_as_it_was_written() -> None:
    lease = parse_lease(lease_text("a1", ["dead1", "dead2"]))
    assert set(lease) == {"run_id", "user", "host", "pid", "process", "since", "dead"}
    assert (lease["run_id"], lease["pid"]) == ("a1", os.getpid())
    assert recorded_dead(lease) == ["dead1", "dead2"]


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 100_000])
def test_what_is_no_object_is_empty(text: str) -> None:
    assert parse_lease(text) == {}


@pytest.mark.parametrize("dead", [None, "a1", {"a1": 1}, 5])
def test_only_a_list_of_ids_is_taken_for_dead_runs(dead: object) -> None:
    assert recorded_dead({"dead": dead}) == []


def test_a_description_is_short_and_printable() -> None:
    shown = describe_lease("a1", {"user": "a\x1b[2J\nb", "host": "h" * 5000}, 12.4)
    assert shown == f"a1 (a?[2J?b@{'h' * 64}, process None, since None, last heartbeat 12 s ago)"
