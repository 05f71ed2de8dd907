"""The lane of a request: the one it asks for, or the one of its size."""

from __future__ import annotations

import pytest

from grpc_server.api.scoring import MAX_INTERACTIVE_ROWS, choose_lane
from grpc_server.core.work import Lane
from relevance_model import RequestError


@pytest.mark.parametrize(
    ("requested", "rows", "lane"),
    [
        (None, 0, Lane.INTERACTIVE),
        (None, MAX_INTERACTIVE_ROWS, Lane.INTERACTIVE),
        (None, MAX_INTERACTIVE_ROWS + 1, Lane.BULK),
        ("interactive", 4096, Lane.INTERACTIVE),
        ("bulk", 1, Lane.BULK),
    ],
)
def test_a_request_gets_the_lane_it_asks_for_or_that_of_its_size(requested: str | None, rows: int, lane: Lane) -> None:
    assert choose_lane(requested, rows) is lane


@pytest.mark.parametrize("requested", ["", "urgent", "BULK"])
def test_another_lane_is_an_invalid_request_that_names_the_lanes(requested: str) -> None:
    with pytest.raises(RequestError, match="x-priority: must be one of interactive, bulk"):
        choose_lane(requested, 1)
