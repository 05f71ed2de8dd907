"""A tokenizer's pieces, word by word: a word that was seen is a dictionary look-up.

BERT's tokenizers (Devlin et al., 2019) clean and lower-case a text, cut it into words and single punctuation marks, and
cut each of these into pieces by itself. So the pieces of a text are those of its words, and shop texts use few words
often. For printable ASCII, cleaning is lower-casing, and words are runs of letters and digits; all other texts, and all
other kinds of tokenizers, go to the library. `tests/relevance_model/test_wordpiece.py` holds both ways equal.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from relevance_model.errors import BundleError

# Together at most some 16 MiB; longer words are rarely seen twice.
MAX_WORDS = 1 << 16
_LONGEST_WORD = 32

_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


class WordPieces:
    """The tokenizer of a bundle, without limits of its own.

    Parameters
    ----------
    tokenizer_file
        A Hugging Face ``tokenizer.json`` with ``[PAD]``, ``[CLS]`` and ``[SEP]``.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        # The caller's thread is the one that was budgeted for this work; the library's own pool would be a second one.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            description = json.loads(tokenizer_file.read_bytes())
        except Exception as error:  # the library raises bare Exception
            raise BundleError(f"{tokenizer_file}: not a readable tokenizer ({error})") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.pad_id, self.cls_id, self.sep_id = (
            self._special(token, tokenizer_file) for token in ("[PAD]", "[CLS]", "[SEP]")
        )
        self._by_word = _cuts_words_like_bert(description)
        self._pieces_of: dict[str, list[int]] = {}

    def _special(self, token: str, source: Path) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise BundleError(f"{source}: the vocabulary lacks {token}")
        return int(token_id)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text's pieces, special tokens left out."""
        answers: list[list[int] | None] = [self._look_up(text) for text in texts]
        unknown = [i for i, ids in enumerate(answers) if ids is None]
        if unknown:
            encodings = self._tokenizer.encode_batch_fast([texts[i] for i in unknown], add_special_tokens=False)
            for i, encoding in zip(unknown, encodings, strict=True):
                answers[i] = encoding.ids
        return answers  # type: ignore[return-value]  # every None was replaced

    def _look_up(self, text: str) -> list[int] | None:
        """Put a text's pieces together; None if it takes the library to do it."""
        if not (self._by_word and text.isascii() and text.isprintable()):
            return None
        known = self._pieces_of
        ids: list[int] = []
        for word in _WORDS.findall(text.lower()):
            pieces = known.get(word)
            if pieces is None:
                pieces = self._learn(word)
            ids += pieces
        return ids

    def _learn(self, word: str) -> list[int]:
        pieces: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(word) <= _LONGEST_WORD:
            if len(self._pieces_of) >= MAX_WORDS:
                # Numbers without end may get here. The common words are soon back.
                self._pieces_of.clear()
            self._pieces_of[word] = pieces
        return pieces


def _cuts_words_like_bert(description: dict[str, object]) -> bool:
    """Tell whether a ``tokenizer.json`` describes a lower-casing BERT tokenizer without words of its own."""
    parts = {name: description.get(name) or {} for name in ("normalizer", "pre_tokenizer", "model")}
    if not all(isinstance(part, dict) for part in parts.values()):
        return False
    normalizer, pre_tokenizer, model = (dict(part) for part in parts.values())  # type: ignore[call-overload]
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.get("lowercase") is True
        and normalizer.get("clean_text") is True
        and pre_tokenizer.get("type") == "BertPreTokenizer"
        and model.get("type") == "WordPiece"
        and not description.get("added_tokens")
    )
