"""The first pieces of a text, put together word by word, are those of the library, whatever the text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from relevance_model import Bundle, wordpiece
from relevance_model.bundle import TOKENIZER
from relevance_model.greedy import GreedyPieces
from relevance_model.wordpiece import WordPieces
from tests.support.hostile_texts import KINDS

ALL = 1 << 20
ODD = ["café", "🎧", "½", "Ünder", "[SEP]", "##ing", "\t", "\x7f", ""]
SHOP = st.sampled_from(["USB-C", "2m", "WOMEN'S", "size_42", "(grey)", '12.5"', "100%", "x9/x10", "a&b", *ODD])
TEXTS = st.one_of(
    st.text(max_size=40), st.text(st.characters(max_codepoint=127), max_size=60), st.lists(SHOP).map(" ".join)
)


@pytest.fixture(scope="module")
def library(student: Bundle) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(student.path / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def pieces(student: Bundle) -> WordPieces:
    return WordPieces(student.path / TOKENIZER)


@settings(max_examples=300)
@given(texts=st.lists(TEXTS, max_size=6))
def test_pieces_are_the_librarys(library: Tokenizer, pieces: WordPieces, texts: list[str]) -> None:
    expected = [library.encode(text, add_special_tokens=False).ids for text in texts]
    assert pieces.encode(texts, ALL) == expected
    assert pieces.encode(texts, ALL) == expected, "also from the cache"


# Marks that go, marks that stay, and marks that keep others in their order; letters that come apart or are folded.
MARKS = st.sampled_from("\u0301\u0338\u0345\u0901\u0300\u302e\u302f\u1b44\U0001d165\U0001d16d\u093c\x01\u200b\ufffd")
LETTERS = st.sampled_from("aZ\u00e9\u1e9e\u0130\u01c4\u2260\u037e\uac01\ufb03\uf900\u4e2d !\u3000\t")


@settings(max_examples=300)
@given(
    texts=st.lists(
        st.one_of(st.text(st.one_of(LETTERS, MARKS), max_size=30), st.text(MARKS, max_size=150), TEXTS), max_size=4
    ).map("".join),
    most=st.integers(1, 50),
)
def test_the_first_pieces_are_the_librarys_first(library: Tokenizer, pieces: WordPieces, texts: str, most: int) -> None:
    assert pieces.encode([texts], most) == [library.encode(texts, add_special_tokens=False).ids[:most]]


@settings(max_examples=150)
@given(
    words=st.lists(st.text(st.one_of(LETTERS, MARKS, st.characters(exclude_categories=["Cs"])), max_size=120)),
    times=st.integers(1, 40),
    most=st.integers(1, 50),
)
def test_the_first_pieces_of_a_long_text_are_the_librarys_first(
    library: Tokenizer, pieces: WordPieces, words: list[str], times: int, most: int
) -> None:
    text = " ".join(words) * times
    assert pieces.encode([text], most) == [library.encode(text, add_special_tokens=False).ids[:most]]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_made_to_cost_much_have_the_librarys_pieces(library: Tokenizer, pieces: WordPieces, kind: str) -> None:
    texts = [KINDS[kind](random.Random(seed)) for seed in range(3)]
    expected = [library.encode(text, add_special_tokens=False).ids for text in texts]
    for most in (1, 15, 47, ALL):
        assert pieces.encode(texts, most) == [ids[:most] for ids in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_words_are_cut_than_the_pieces_need(
    student: Bundle, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pieces = WordPieces(student.path / TOKENIZER)
    cut: list[str] = []
    real = GreedyPieces.cut

    def noted(self: GreedyPieces, word: str) -> Any:
        cut.append(word)
        return real(self, word)

    monkeypatch.setattr(GreedyPieces, "cut", noted)
    monkeypatch.setattr(pieces, "_tokenizer", None)
    [ids] = pieces.encode([KINDS[kind](random.Random(0))], 47)
    assert len(ids) <= 47
    assert len(cut) <= 47
    assert max(map(len, cut), default=0) <= 3 * 101 or len(cut) == 1
    cut.clear()
    assert pieces.encode([KINDS[kind](random.Random(0))], 47) == [ids]
    assert all(len(word) > 100 for word in cut), "words that the vocabulary may know are kept"


def test_a_word_too_long_for_the_vocabulary_is_unknown_both_ways(library: Tokenizer, pieces: WordPieces) -> None:
    text = "a" * 101 + " red"
    assert pieces.encode([text], ALL) == [library.encode(text, add_special_tokens=False).ids]


def test_the_cache_is_bounded_and_right_after_it_was_full(
    library: Tokenizer, student: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordpiece, "MAX_WORDS_BYTES", 2000)
    pieces = WordPieces(student.path / TOKENIZER)
    texts = [f"lamp number {i} of {i * 7}" for i in range(50)]
    assert pieces.encode(texts, ALL) == [library.encode(text, add_special_tokens=False).ids for text in texts]
    assert len(pieces._pieces_of) <= 8
    assert pieces._words_bytes <= 2000


@pytest.mark.parametrize("kind", ["cased", "whitespace"])
def test_other_tokenizers_are_the_librarys_alone(tmp_path: Path, kind: str) -> None:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "Red": 4, "red": 5, "red-shoe": 6, "-": 7, "shoe": 8}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=kind != "cased")
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer() if kind == "cased" else pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / TOKENIZER))
    expected = {"cased": [4, 5, 7, 8], "whitespace": [5, 6]}[kind]
    assert WordPieces(tmp_path / TOKENIZER).encode(["Red red-shoe"], ALL) == [expected]
