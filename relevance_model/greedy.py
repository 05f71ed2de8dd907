"""WordPiece's cutting of one word, in time that the vocabulary bounds and not the square of the word's length."""

from __future__ import annotations

from collections.abc import Mapping

# Pieces that begin with the same so many characters are looked for up to the length of the longest of them.
_HEAD = 3


class GreedyPieces:
    """Cuts a word into the longest pieces that the vocabulary has, from left to right.

    Parameters
    ----------
    vocabulary
        Piece to id.
    prefix
        What stands before a piece that does not begin a word.
    unknown
        The piece of a word that cannot be cut.
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
            end = min(start + longest.get(word[start : start + _HEAD], _HEAD), size)
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
        head = piece[:_HEAD]
        longest[head] = max(longest.get(head, 0), len(piece))
    return longest
