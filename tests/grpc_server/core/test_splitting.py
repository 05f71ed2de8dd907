"""The charge of a request, and its parts: no row is lost, no part is over the budget."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from grpc_server.core.splitting import charge
from relevance_model import Bundle, Pairs


def rows(count: int, seed: int = 0) -> Pairs:
    rng = random.Random(seed)
    words = ["red", "blue", "usb", "cable", "shoes", "lamp", "sofa", "42", "grey", "kids", "bike", "phone", "case"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(2 * count)]
    return Pairs.from_columns(texts[:count], texts[count:])


def tokens_of(student: Bundle, queries: list[str], titles: list[str], index: list[int] | None = None) -> int:
    pairs = Pairs.from_columns(queries, titles, index or (), index or ())
    return charge(pairs, student.manifest).tokens


def test_the_charge_grows_with_what_the_model_must_read(student: Bundle) -> None:
    assert tokens_of(student, ["a"], ["b"]) < tokens_of(student, ["a"], ["b" * 40])
    assert tokens_of(student, ["a"], ["b" * 40]) < tokens_of(student, ["a" * 40], ["b" * 40])
    assert tokens_of(student, ["ab"], ["cdef"]) == 0 + 1 + 3
    assert tokens_of(student, ["ab", "ab"], ["cdef", "cdef"]) == 2 * (0 + 1 + 3)


def test_what_the_model_does_not_read_is_charged_by_its_bytes_alone(student: Bundle) -> None:
    most = student.manifest.max_title_tokens
    assert tokens_of(student, [""], ["b" * 8192]) == most + 8192 // 32 + 3
    assert tokens_of(student, [""], ["\u4e2d" * 2000]) == most + 6000 // 32 + 3


def test_texts_that_no_row_uses_are_neither_charged_nor_read(student: Bundle) -> None:
    titles = ["lamp", *(f"unused {number}" for number in range(500))]
    pairs = Pairs.from_columns(["a lamp"], titles, [0, 0], [0, 0])
    charged = charge(pairs, student.manifest)
    assert charged.tokens == charge(Pairs.from_columns(["a lamp"] * 2, ["lamp"] * 2), student.manifest).tokens
    assert list(charged.pairs.titles) == ["lamp"]
    assert [list(part.titles) for part, _ in charged.split_by_tokens(1)] == [["lamp"], ["lamp"]]


@given(st.integers(0, 60), st.integers(1, 200))
def test_splitting_keeps_every_row_and_the_budget(student: Bundle, count: int, budget: int) -> None:
    whole = rows(count)
    parts = charge(whole, student.manifest).split_by_tokens(budget)
    texts = [(p.queries[q], p.titles[t]) for p, _ in parts for q, t in zip(p.query_index, p.title_index, strict=True)]
    assert texts == list(zip(whole.queries, whole.titles, strict=True))
    for part, tokens in parts:
        assert tokens == charge(part, student.manifest).tokens
        assert tokens <= budget or len(part) == 1
