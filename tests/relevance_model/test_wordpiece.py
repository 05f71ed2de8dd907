"""Pieces put together word by word are those of the library, whatever the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from relevance_model import Bundle, wordpiece
from relevance_model.bundle import TOKENIZER
from relevance_model.wordpiece import WordPieces

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
    assert pieces.encode(texts) == expected
    assert pieces.encode(texts) == expected, "also from the cache"


def test_a_word_too_long_for_the_vocabulary_is_unknown_both_ways(library: Tokenizer, pieces: WordPieces) -> None:
    text = "a" * 101 + " red"
    assert pieces.encode([text]) == [library.encode(text, add_special_tokens=False).ids]


def test_the_cache_is_bounded_and_right_after_it_was_full(
    library: Tokenizer, student: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordpiece, "MAX_WORDS", 8)
    pieces = WordPieces(student.path / TOKENIZER)
    texts = [f"lamp number {i} of {i * 7}" for i in range(50)]
    assert pieces.encode(texts) == [library.encode(text, add_special_tokens=False).ids for text in texts]
    assert len(pieces._pieces_of) <= 8


@pytest.mark.parametrize("kind", ["cased", "whitespace"])
def test_other_tokenizers_are_the_librarys_alone(tmp_path: Path, kind: str) -> None:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "Red": 4, "red": 5, "red-shoe": 6, "-": 7, "shoe": 8}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=kind != "cased")
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer() if kind == "cased" else pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / TOKENIZER))
    expected = {"cased": [4, 5, 7, 8], "whitespace": [5, 6]}[kind]
    assert WordPieces(tmp_path / TOKENIZER).encode(["Red red-shoe"]) == [expected]
