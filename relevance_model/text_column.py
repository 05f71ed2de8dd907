"""One column of the pairs, queries or titles: its tokenizer and its cache."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from relevance_model.onnx_graph import Feed
from relevance_model.pairs import IndexArray
from relevance_model.text_cache import ABSENT, TextCache
from relevance_model.tokenizer import TextTokenizer


class TextColumn:
    """Turns texts into cache rows that hold token ids, length and state.

    Attributes
    ----------
    tokenizer
        Reads the texts.
    cache
        The rows.
    fresh
        Rows that the last `resolve` added.
    tokenize_seconds
        Time of its tokenisation.
    """

    def __init__(self, tokenizer: TextTokenizer, cache: TextCache) -> None:
        self.tokenizer = tokenizer
        self.cache = cache
        self.tokenize_seconds = 0.0
        self.fresh: list[int] = []
        self._fresh_texts: list[str] = []

    def resolve(self, texts: Sequence[str]) -> tuple[IndexArray, dict[int, str]]:
        """Return each text's cache row (`ABSENT` if it cannot be tokenised), and the errors by position.

        New rows (`fresh`) have ids and lengths; the caller fills their states before `publish`. All rows stay valid
        until the next call.
        """
        rows = self.cache.find(texts)
        missing = np.flatnonzero(rows == ABSENT).tolist()
        errors_of = self._encode(list(dict.fromkeys([texts[i] for i in missing])))
        row_of = dict(zip(self._fresh_texts, self.fresh, strict=True))
        errors: dict[int, str] = {}
        for i in missing:
            row = row_of.get(texts[i])
            if row is None:
                errors[i] = errors_of[texts[i]]
            else:
                rows[i] = row
        return rows, errors

    def resolve_one(self, text: str) -> tuple[int, str | None]:
        """Return the cache row of one text and its error, as `resolve` does."""
        row = self.cache.find_one(text)
        errors = self._encode([text] if row == ABSENT else [])
        return (self.fresh[0] if self.fresh else row), errors.get(text)

    def _encode(self, texts: list[str]) -> dict[str, str]:
        """Tokenise new texts into `fresh`; return the errors by text."""
        self.tokenize_seconds = 0.0
        self.fresh, self._fresh_texts = [], []
        if not texts:
            return {}
        started = perf_counter()
        encoded = self.tokenizer.encode(texts)
        self.tokenize_seconds = perf_counter() - started
        self._fresh_texts = [text for text, code in zip(texts, encoded, strict=True) if code.error is None]
        self.fresh = self.cache.allocate(len(self._fresh_texts))
        tokens, lengths, pad = self.cache.tokens, self.cache.lengths, self.tokenizer.pad_id
        readable = (code.ids for code in encoded if code.error is None)
        for row, ids in zip(self.fresh, readable, strict=True):
            lengths[row] = length = len(ids)
            tokens[row, :length] = ids
            tokens[row, length:] = pad
        return {text: code.error for text, code in zip(texts, encoded, strict=True) if code.error is not None}

    def publish(self) -> None:
        """Make the fresh rows of the last `resolve` visible to later ones."""
        self.cache.publish(self._fresh_texts, self.fresh)

    def feed(self, name: str, rows: IndexArray | slice, wanted: frozenset[str]) -> Feed:
        """Return the `wanted` inputs of the pair graph for `rows`, ids padded to the longest."""
        feed: Feed = {}
        lengths = self.cache.lengths[rows]
        if f"{name}_ids" in wanted:
            feed[f"{name}_ids"] = self.cache.tokens[rows, : lengths.max()]
        if f"{name}_length" in wanted:
            feed[f"{name}_length"] = lengths
        if f"{name}_state" in wanted:
            feed[f"{name}_state"] = self.cache.states[rows]
        return feed
