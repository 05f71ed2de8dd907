"""Dictionary-encoded pairs: encoding and splitting change no pair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grpc_client.pair_batch import PairBatch

PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=2)


def pairs_of(batch: PairBatch) -> list[tuple[str, str]]:
    positions = map(batch.positions, range(batch.rows))
    return [(batch.queries[query], batch.titles[title]) for query, title in positions]


@given(PAIRS)
def test_encoding_keeps_the_pairs_and_holds_each_text_once(pairs: list[tuple[str, str]]) -> None:
    batch = PairBatch.of(pairs)
    assert pairs_of(batch) == pairs
    assert len(set(batch.queries)) == len(batch.queries)
    assert len(set(batch.titles)) == len(batch.titles)


@given(PAIRS, st.booleans())
def test_halves_are_the_pairs_over_the_texts_that_they_use(pairs: list[tuple[str, str]], encoded: bool) -> None:
    row_by_row = PairBatch([query for query, _ in pairs], [title for _, title in pairs])
    first, second = (PairBatch.of(pairs) if encoded else row_by_row).halves()
    assert (first.rows, second.rows) == (len(pairs) // 2, len(pairs) - len(pairs) // 2)
    assert pairs_of(first) + pairs_of(second) == pairs
    for half in (first, second):
        assert {query for query, _ in pairs_of(half)} == set(half.queries)
        assert {title for _, title in pairs_of(half)} == set(half.titles)
