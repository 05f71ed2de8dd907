"""WordPiece's greedy split of one word, in time bounded by the vocabulary instead of the word's length squared."""

from __future__ import annotations

from collections.abc import Mapping

# Candidates are no longer than the longest piece with the same first three characters.
_PREFIX_CHARACTERS = 3


class GreedyPieces:
    """Splits a word into the longest pieces of the vocabulary, from left to right.

    Parameters
    ----------
    vocabulary
        Piece to id.
    prefix
        Mark of a piece that continues a word, such as `##`.
    unknown
        The piece of a word that cannot be split.
    longest_word
        Characters above which a word is unknown.
    """

    def __init__(self, vocabulary: Mapping[str, int], *, prefix: str, unknown: str, longest_word: int) -> None:
        self.longest_word = longest_word
        self.unknown = [vocabulary[unknown]]
        inner = {piece[len(prefix) :]: number for piece, number in vocabulary.items() if piece.startswith(prefix)}
        self._first, self._longest_first = vocabulary, _longest(vocabulary)
        self._inner, self._longest_inner = inner, _longest(inner)
        self._characters = frozenset().union(*vocabulary)

    def cut(self, word: str) -> list[int]:
        """Return the ids of the pieces of `word`, which is normalized and not empty."""
        size = len(word)
        if size > self.longest_word or not self._characters.issuperset(word):
            return self.unknown
        ids = []
        start, pieces, longest = 0, self._first, self._longest_first
        while start < size:
            end = min(start + longest.get(word[start : start + _PREFIX_CHARACTERS], _PREFIX_CHARACTERS), size)
            while (number := pieces.get(word[start:end])) is None:
                end -= 1
                if end == start:
                    return self.unknown
            ids.append(number)
            start, pieces, longest = end, self._inner, self._longest_inner
        return ids


def _longest(pieces: Mapping[str, int]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for piece in pieces:
        head = piece[:_PREFIX_CHARACTERS]
        longest[head] = max(longest.get(head, 0), len(piece))
    return longest
