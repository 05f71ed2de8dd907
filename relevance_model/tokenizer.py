"""Tokenisation of texts, with an error for each text that has no token.

A query becomes `[CLS] q… [SEP]` and a title `t… [SEP]`; each is cut to its own limit, so that the ids of a text do not
depend on the other text of the pair and can be cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relevance_model.wordpiece import WordPieces

DEFAULT_MAX_TEXT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class EncodedText:
    """The token ids of a text, or its error as a predicate ("is empty", …)."""

    ids: list[int]
    error: str | None = None


class TextTokenizer:
    """Tokenises the texts of one column.

    Parameters
    ----------
    vocabulary
        Splits texts into pieces.
    max_tokens
        Ids per text, special tokens included.
    leading_cls
        Whether `[CLS]` precedes the text (queries) or not (titles).
    max_text_bytes
        UTF-8 bytes above which a text is an error.

    Attributes
    ----------
    room
        Pieces that are read of a text.
    pad_id
        Id of `[PAD]`.
    """

    def __init__(
        self,
        vocabulary: WordPieces,
        *,
        max_tokens: int,
        leading_cls: bool,
        max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
    ) -> None:
        self._vocabulary = vocabulary
        self.pad_id = vocabulary.pad_id
        self._head = [vocabulary.cls_id] if leading_cls else []
        self._tail = [vocabulary.sep_id]
        self.room = max_tokens - len(self._head) - len(self._tail)
        self._max_text_bytes = max_text_bytes

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return one entry per text, in order."""
        errors = [self.error_of(text) for text in texts]
        readable = [text for text, error in zip(texts, errors, strict=True) if error is None]
        pieces = iter(self._vocabulary.encode(readable, self.room))
        return [self._finish(next(pieces)) if error is None else EncodedText([], error) for error in errors]

    def count_pieces(self, text: str) -> int:
        """Return how many pieces the text has, up to `room`."""
        return len(self._vocabulary.encode([text], self.room)[0])

    def _finish(self, pieces: list[int]) -> EncodedText:
        if not pieces:
            return EncodedText([], "has no readable character")
        return EncodedText([*self._head, *pieces, *self._tail])

    def error_of(self, text: str) -> str | None:
        """Return why a text cannot be read, before its pieces are known."""
        if not text:
            return "is empty"
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            return "is not valid UTF-8"
        if size > self._max_text_bytes:
            return f"has {size} bytes, the limit is {self._max_text_bytes}"
        return None
