"""The words of a text as a BERT tokenizer finds them, from a table of characters that is learnt from the tokenizer.

The normalizer and the pre-tokenizer work on single characters; only consecutive combining marks may be reordered. So
words can be found and normalized by the kinds of their characters, and the first words of a long text are found without
reading it to its end. `tests/relevance_model/test_wordpiece.py` checks it against the library.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_CODE_POINTS = 0x11_0000
# Kinds of characters: dropped; part of a word; a combining mark in a word; a word by itself; space.
_DROPPED, _LETTER, _MARK, _SINGLE, _SPACE = b"dwmps"
# A dropped character neither begins nor ends a word.
_WORDS = re.compile(rb"[wm][wmd]*|p")
_MARKS = re.compile(rb"m[md]*m")
# Number of characters that are read first; more are read only if these hold too few words.
_STEPS = (128, 1024)


class Characters:
    """Finds and normalizes the words of a text.

    Parameters
    ----------
    tokenizer
        One with a `BertNormalizer` and a `BertPreTokenizer`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._normalizer = tokenizer.normalizer
        self._pre_tokenizer = tokenizer.pre_tokenizer
        # 0 for a character that was not seen yet.
        self._kinds = np.zeros(_CODE_POINTS, np.uint8)
        # Normalized forms of the characters that change, some 15,000 in all.
        self._forms: dict[str, str] = {}

    def words(self, text: str, most: int) -> list[str]:
        """Return the first words of `text`, up to `most`, before normalization; none is empty after it.

        Dropped characters are left out, unless the text has consecutive marks.
        """
        for step in _STEPS:
            if len(text) > step and len(words := self._words(text[:step], most + 1)) > most:
                # The last word may be cut off at the step; the others are whole.
                return words[:most]
        return self._words(text, most)

    def normalized(self, word: str, most: int) -> str:
        """Return a word of `words` as the tokenizer normalizes it, at least its first `most` characters."""
        points, kinds = self._kinds_of(word)
        sequence = kinds.tobytes()
        if _DROPPED not in sequence and not _MARKS.search(sequence):
            return self._formed(word[:most])
        kept = np.flatnonzero(kinds != _DROPPED)
        stop = int(kept[most]) if len(kept) > most else len(word)
        parts, start = [], 0
        for marks in _MARKS.finditer(sequence, 0, stop):
            parts += [_without(points[start : marks.start()], kinds[start : marks.start()])]
            parts += [self._normalizer.normalize_str(word[marks.start() : marks.end()])]
            start = marks.end()
        return self._formed("".join([*parts, _without(points[start:stop], kinds[start:stop])]))

    def _formed(self, characters: str) -> str:
        if self._forms.keys().isdisjoint(characters):
            return characters
        form = self._forms.get
        return "".join([form(character, character) for character in characters])

    def _words(self, text: str, most: int) -> list[str]:
        points, kinds = self._kinds_of(text)
        sequence = kinds.tobytes()
        if _DROPPED in sequence and not _MARKS.search(sequence):
            text, sequence = _without(points, kinds), kinds[kinds != _DROPPED].tobytes()
        return [text[found.start() : found.end()] for found in islice(_WORDS.finditer(sequence), most)]

    def _kinds_of(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        kinds = self._kinds[points]
        if not kinds.all():
            self._learn(np.unique(points[kinds == 0]))
            kinds = self._kinds[points]
        return points, kinds

    def _learn(self, points: NDArray[np.uint32]) -> None:
        """Learn characters from the tokenizer; each is sent between two digits, which stay as they are."""
        characters = [chr(point) for point in points.tolist()]
        asked = self._normalizer.normalize_str(" ".join([f"0{character}1" for character in characters]))
        words = iter([word for word, _ in self._pre_tokenizer.pre_tokenize_str(asked)])
        for character in characters:
            word = next(words)
            if word != "0":
                form = word[1:-1]
                kind = _LETTER if form else _DROPPED
                if any(map(unicodedata.combining, form)):
                    kind = _MARK
            else:
                form = next(words)
                kind = _SPACE if form == "1" else _SINGLE
                if kind == _SINGLE:
                    next(words)
            self._kinds[ord(character)] = kind
            if kind in (_LETTER, _MARK, _SINGLE) and form != character:
                self._forms[character] = form


def _without(points: NDArray[np.uint32], kinds: NDArray[np.uint8]) -> str:
    """Return the characters that are not dropped."""
    return str(points[kinds != _DROPPED].tobytes(), "utf-32-le")
