"""The words of a text that the model reads, and the text that remains when some of them are left out.

A word is what stands between spaces, with its punctuation; each ideograph is a word of its own, as BERT's tokenizers
read it. A text of some words, joined by spaces, has the pieces of these words: so it is scored like any text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relevance_model.tokenizer import TextTokenizer

# BERT's tokenizers drop these characters; Python would take them for spaces.
_DROPPED: Final = r"\x0b\x0c\x1c-\x1f\x85"
# Characters that BERT's tokenizers take for words (Devlin et al., 2019, "tokenize_chinese_chars").
_IDEOGRAPHS: Final = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
_WORDS: Final = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])(?:\S|[{_DROPPED}]))+")


# Subsets of the words are numbers of 64 bits. Neighbours count as one word if there are more; the bundled student reads
# 47 words at most.
_MAX_WORDS: Final = 62


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text.

    Attributes
    ----------
    text
        The text.
    read
        The words of which the model reads at least one piece, in order.
    unread
        Number of words after them.
    """

    text: str
    read: tuple[str, ...]
    unread: int

    def subset(self, mask: int) -> str:
        """Return the text of the words whose bits are set in `mask`; with all of them the text as it was given.

        Examples
        --------
        >>> Words("red  canvas shoes", ("red", "canvas", "shoes"), 0).subset(0b101)
        'red shoes'
        """
        if mask == (1 << len(self.read)) - 1:
            return self.text
        return " ".join([word for place, word in enumerate(self.read) if mask >> place & 1])


def words_of(text: str, tokenizer: TextTokenizer) -> Words:
    """Return the words of a text that `tokenizer` can read; characters that it drops are no words."""
    read: list[str] = []
    unread = pieces = 0
    for found in _WORDS.finditer(text):
        if pieces >= tokenizer.room:
            unread += 1
        elif count := tokenizer.count_pieces(found[0]):
            read.append(found[0])
            pieces += count
    together = -(-len(read) // _MAX_WORDS)
    if together > 1:
        read = [" ".join(read[start : start + together]) for start in range(0, len(read), together)]
    return Words(text, tuple(read), unread)
