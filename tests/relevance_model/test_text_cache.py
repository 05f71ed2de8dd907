"""The cache answers like a dictionary, holds no more than its bound, and never evicts what the batch at hand uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevance_model.text_cache import ABSENT, TextCache

CAPACITY = 6
words = st.sampled_from([f"w{i}" for i in range(15)])


def make(capacity: int = CAPACITY) -> TextCache:
    return TextCache(max_bytes=0, max_tokens=2, state_size=1, min_rows=capacity)


def number(word: str) -> int:
    return int(word[1:]) + 1


def use(cache: TextCache, batch: list[str]) -> list[int]:
    """Resolve a batch as a column does, writing each word's number as its token."""
    rows = cache.find(batch)
    missing = [word for word, row in zip(batch, rows, strict=True) if row == ABSENT]
    fresh = cache.allocate(len(missing))
    cache.tokens[fresh, 0] = [number(word) for word in missing]
    cache.publish(missing, fresh)
    found = dict(zip(missing, fresh, strict=True))
    return [found.get(word, int(row)) for word, row in zip(batch, rows, strict=True)]


@given(st.lists(st.lists(words, unique=True, max_size=CAPACITY), max_size=30))
def test_every_row_of_a_batch_holds_its_own_text(batches: list[list[str]]) -> None:
    cache = make()
    for batch in batches:
        rows = use(cache, batch)
        assert cache.tokens[rows, 0].tolist() == [number(word) for word in batch]
        assert len(set(rows)) == len(batch)
        assert len(cache) <= CAPACITY


def test_hits_and_misses_are_counted() -> None:
    cache = make()
    use(cache, ["w1", "w2"])
    use(cache, ["w2", "w3"])
    assert (cache.hits, cache.misses) == (1, 3)


def test_what_is_used_again_outlives_what_is_not() -> None:
    cache = make()
    use(cache, ["w0"])
    for i in range(1, 15):
        use(cache, ["w0", f"w{i}"])
    assert cache.hits == 14


def test_rows_of_a_failed_batch_are_reused_and_never_found() -> None:
    cache = make(capacity=2)
    use(cache, ["w1", "w2"])
    cache.find(["w3", "w4"])
    cache.allocate(2)  # … and the model fails before publish
    assert len(cache) == 0
    assert use(cache, ["w5", "w6"]) != []
    assert cache.find(["w3", "w1"]).tolist() == [ABSENT, ABSENT]


def test_a_batch_beyond_the_bound_is_a_bug_that_is_told() -> None:
    cache = make(capacity=2)
    cache.find(["w1", "w2", "w3"])
    with pytest.raises(AssertionError, match="more than the 2 distinct texts"):
        cache.allocate(3)


def test_the_byte_bound_decides_the_capacity() -> None:
    small = TextCache(max_bytes=1 << 20, max_tokens=8, state_size=64, min_rows=1)
    large = TextCache(max_bytes=2 << 20, max_tokens=8, state_size=64, min_rows=1)
    assert small.capacity * (4 * (8 + 1 + 64)) < 1 << 20
    assert large.capacity == pytest.approx(2 * small.capacity, abs=1)


def test_long_texts_are_found_again_and_told_apart() -> None:
    cache = make()
    long, longer = "x" * 8000, "x" * 8001
    assert cache.find([long]).tolist() == [ABSENT]
    fresh = cache.allocate(1)
    cache.publish([long], fresh)
    assert cache.find([long, longer]).tolist() == [fresh[0], ABSENT]
