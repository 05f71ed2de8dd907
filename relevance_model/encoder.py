"""From text to token ids, with one reason for every text that cannot be read.

A query becomes ``[CLS] q… [SEP]`` and a title ``t… [SEP]``; each is cut to its own limit, so that a text's ids do not
depend on the text it is paired with and can be cached.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from relevance_model.errors import BundleError

DEFAULT_MAX_TEXT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text's token ids, or the reason why it has none (a predicate: "is empty", …)."""

    ids: list[int]
    fault: str | None = None


class TextEncoder:
    """Encodes the texts of one column.

    Parameters
    ----------
    tokenizer_file
        A Hugging Face ``tokenizer.json`` with ``[PAD]``, ``[CLS]`` and ``[SEP]``.
    max_tokens
        Ids per text, special tokens included.
    leading_cls
        Whether ``[CLS]`` opens the text (queries) or not (titles).
    max_text_bytes
        UTF-8 bytes above which a text is refused.
    """

    def __init__(
        self, tokenizer_file: Path, *, max_tokens: int, leading_cls: bool, max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES
    ) -> None:
        # The caller's thread is the one that was budgeted for this work; the library's own pool would be a second one.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"{tokenizer_file}: not a readable tokenizer ({error})") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.pad_id = self._special("[PAD]", tokenizer_file)
        self._head = [self._special("[CLS]", tokenizer_file)] if leading_cls else []
        self._tail = [self._special("[SEP]", tokenizer_file)]
        self._room = max_tokens - len(self._head) - len(self._tail)
        self._max_text_bytes = max_text_bytes

    def _special(self, token: str, source: Path) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise BundleError(f"{source}: the vocabulary lacks {token}")
        return int(token_id)

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode ``texts``; the answer has one entry per text, in order."""
        faults = [self._unfit(text) for text in texts]
        readable = [text for text, fault in zip(texts, faults, strict=True) if fault is None]
        encodings = iter(self._tokenizer.encode_batch_fast(readable, add_special_tokens=False))
        return [self._finish(next(encodings).ids) if fault is None else EncodedText([], fault) for fault in faults]

    def _finish(self, pieces: list[int]) -> EncodedText:
        if not pieces:
            return EncodedText([], "has no readable character")
        return EncodedText([*self._head, *pieces[: self._room], *self._tail])

    def _unfit(self, text: str) -> str | None:
        if not text:
            return "is empty"
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            return "is not valid UTF-8"
        if size > self._max_text_bytes:
            return f"has {size} bytes, the limit is {self._max_text_bytes}"
        return None
