"""Texts encoded as query and as title, and batches of similar lengths."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distillation.student.text_table import TextTable, length_buckets
from distillation.student.vocabulary import CLS, PAD, SEP, SPECIAL_TOKENS, UNK, train_vocabulary


def test_a_text_as_query_and_as_title() -> None:
    tokenizer = train_vocabulary(["red shoes", "red shoes size nine"] * 3, size=200)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [PAD, UNK, CLS, SEP]
    table = TextTable(tokenizer, ["red", "Red shoes size nine"], max_query_tokens=4, max_title_tokens=3)
    red, shoes = (tokenizer.token_to_id(word) for word in ("red", "shoes"))
    batch = table.batch(np.array([1, 0]), np.array([1, 0]))
    assert batch.query.tolist() == [[CLS, red, shoes, SEP], [CLS, red, SEP, PAD]]
    assert batch.query_length.tolist() == [4, 3]
    assert batch.title.tolist() == [[red, shoes, SEP], [red, SEP, PAD]]
    assert batch.title_length.tolist() == [3, 2]


@given(st.lists(st.integers(1, 40), max_size=300), st.integers(1, 7))
def test_buckets_hold_every_row_once(lengths: list[int], batch: int) -> None:
    batches = length_buckets(np.array(lengths, dtype=np.int32), batch, np.random.default_rng(0))
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(0 < len(rows) <= batch for rows in batches)
