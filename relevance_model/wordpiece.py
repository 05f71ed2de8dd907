"""The first WordPiece ids of a text, word by word: the pieces of a known word are a dictionary look-up.

BERT's tokenizers (Devlin et al., 2019) clean and lower-case a text, split it into words and punctuation marks, and
split each of these into pieces independently. So the pieces of a text are those of its words, and shop texts use few
words often. Texts are read only as far as pieces are needed: 8 KiB of any characters cost about as much as a title.
For printable ASCII, cleaning is lower-casing, and words are runs of letters and digits; in other texts `characters.py`
finds the words. Tokenizers of other kinds are run by the library, on whole texts.
`tests/relevance_model/test_wordpiece.py` checks that all paths give the same pieces.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from relevance_model.characters import Characters
from relevance_model.errors import BundleError
from relevance_model.greedy import GreedyPieces

# Memory for known words, and the bytes of one: fixed, per character, per piece.
MAX_WORDS_BYTES = 16 << 20
_WORD_BYTES = 170
_CHARACTER_BYTES = 4
_PIECE_BYTES = 8
# In a longer text, words are found one at a time.
_SHORT_TEXT = 256

_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


class WordPieces:
    """The tokenizer of a bundle, without truncation.

    Parameters
    ----------
    tokenizer_file
        A Hugging Face `tokenizer.json` with `[PAD]`, `[CLS]` and `[SEP]`.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        # This work has the caller's thread; the library's pool would use more cores.
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
        self._greedy = _greedy(description)
        self._characters = Characters(self._tokenizer) if self._greedy else None
        self._pieces_of: dict[str, list[int]] = {}
        self._words_bytes = 0

    def _special(self, token: str, source: Path) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise BundleError(f"{source}: the vocabulary lacks {token}")
        return int(token_id)

    def encode(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Return the ids of each text's first pieces, up to `most`, special tokens left out."""
        greedy, characters = self._greedy, self._characters
        if greedy is None or characters is None:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            return [encoding.ids[:most] for encoding in encodings]
        return [self._read(text, most, greedy, characters) for text in texts]

    def _read(self, text: str, most: int, greedy: GreedyPieces, characters: Characters) -> list[int]:
        """Return the pieces of a text. Each word has at least one, so `most` words are enough."""
        words: Sequence[str]
        if not (text.isascii() and text.isprintable()):
            words = characters.words(text, most)
        elif len(text) <= _SHORT_TEXT:
            words = _WORDS.findall(text.lower())
        else:
            words = [found[0] for found in islice(_WORDS.finditer(text.lower()), most)]
        known = self._pieces_of
        ids: list[int] = []
        for word in words:
            pieces = known.get(word)
            if pieces is None:
                if len(ids) >= most:
                    break
                pieces = self._learn(word, greedy, characters)
            ids += pieces
        return ids[:most]

    def _learn(self, word: str, greedy: GreedyPieces, characters: Characters) -> list[int]:
        plain = word.isascii() and word.isalnum()
        pieces = greedy.cut(word.lower() if plain else characters.normalized(word, greedy.longest_word + 1))
        if len(word) > greedy.longest_word:
            # Too long for a key; most often it is unknown because of its length.
            return pieces
        size = _WORD_BYTES + _CHARACTER_BYTES * len(word) + _PIECE_BYTES * len(pieces)
        if self._words_bytes + size > MAX_WORDS_BYTES:
            # The words are full, mostly of numbers. Common words are soon learnt again.
            self._pieces_of.clear()
            self._words_bytes = 0
        self._pieces_of[word] = pieces
        self._words_bytes += size
        return pieces


def _greedy(description: dict[str, Any]) -> GreedyPieces | None:
    """Return the splitter for a `tokenizer.json`, or None unless it is a lower-casing BERT without added tokens."""
    parts = {name: description.get(name) or {} for name in ("normalizer", "pre_tokenizer", "model")}
    if not all(isinstance(part, dict) for part in parts.values()):
        return None
    normalizer, pre_tokenizer, model = parts.values()
    if (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.get("lowercase") is True
        and normalizer.get("clean_text") is True
        and pre_tokenizer.get("type") == "BertPreTokenizer"
        and model.get("type") == "WordPiece"
        and model.get("unk_token") in model.get("vocab", {})
        and not description.get("added_tokens")
    ):
        return GreedyPieces(
            model["vocab"],
            prefix=model["continuing_subword_prefix"],
            unknown=model["unk_token"],
            longest_word=model["max_input_chars_per_word"],
        )
    return None
