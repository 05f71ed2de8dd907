"""The student's vocabulary."""

from __future__ import annotations

from distillation.student.vocabulary import train_vocabulary


def test_one_corpus_gives_one_vocabulary() -> None:
    """Many pairs of characters are equally frequent here, so that every merge is a tie to break."""
    letters = "abcdefghij"
    texts = [a + b + c for a in letters for b in letters for c in letters] * 2
    first = train_vocabulary(texts, size=150, words=["hello"])
    assert train_vocabulary(texts, size=150, words=["hello"]).to_str() == first.to_str()
    assert first.encode("Hello", add_special_tokens=False).tokens == ["hello"]
