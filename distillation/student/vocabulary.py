"""The student's own WordPiece vocabulary, trained on titles and queries.

A vocabulary of the domain needs fewer pieces per title than a general one, and every piece costs a step of the LSTM
(Schuster & Nakajima, 2012, "Japanese and Korean Voice Search", for WordPiece). The saved `tokenizer.json` adds no
special tokens; callers add them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

PAD: Final = 0
UNK: Final = 1
CLS: Final = 2
SEP: Final = 3
SPECIAL_TOKENS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def train_vocabulary(texts: Iterable[str], *, size: int, words: Sequence[str] = ()) -> Tokenizer:
    """Train a lower-casing WordPiece tokenizer; ids 0-3 are [PAD] [UNK] [CLS] [SEP].

    Parameters
    ----------
    texts
        The corpus; a piece occurs in it at least twice.
    size
        Limit of pieces, special tokens and `words` included.
    words
        Whole words to add, whether or not `texts` contain them.
    """
    trained = _tokenizer({})
    texts = list(texts)
    # The trainer numbers inner characters in the order of a randomised hash map, and breaks ties between merges by
    # these numbers. Listed first, in a fixed order, they make the vocabulary reproducible.
    normalised = (trained.normalizer.normalize_str(text) for text in texts)
    characters = sorted({character for text in normalised for character in text if not character.isspace()})
    trainer = WordPieceTrainer(
        vocab_size=size - len(words),
        min_frequency=2,
        special_tokens=[*SPECIAL_TOKENS, *(f"##{character}" for character in characters)],
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    pieces = dict(sorted(trained.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1]))
    for word in words:
        pieces.setdefault(word, len(pieces))
    return _tokenizer(pieces)


def _tokenizer(pieces: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(pieces, unk_token=SPECIAL_TOKENS[UNK]))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder()
    return tokenizer


def encode_texts(tokenizer: Tokenizer, texts: list[str], max_pieces: int) -> list[list[int]]:
    """Return piece ids without special tokens, truncated to `max_pieces`."""
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [encoding.ids[:max_pieces] for encoding in encodings]
