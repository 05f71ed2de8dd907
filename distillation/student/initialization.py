"""Initialisation of a student: random weights, and embeddings projected from the encoder's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.encoder.base_encoder import load_encoder, load_tokenizer
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.recipe.recipe import Sizes
from distillation.student.bilstm import BertBiLSTM, Shape
from distillation.student.vocabulary import SPECIAL_TOKENS

# A unit vector of E entries has a root mean square of E**-0.5; an LSTM learns faster from inputs near this value.
_INPUT_RMS: Final = 0.5
_SAMPLE: Final = 50_000

Floats = npt.NDArray[np.float32]


def new_student(sizes: Sizes, tokenizer: Tokenizer, *, dropout: float, seed: int) -> BertBiLSTM:
    """Build an untrained student."""
    torch.manual_seed(seed)
    shape = Shape(
        vocabulary=tokenizer.get_vocab_size(),
        embedding=sizes.embedding,
        hidden=sizes.hidden,
        vector=sizes.vector,
        head=sizes.head,
        token=sizes.token,
    )
    return BertBiLSTM(shape, dropout=dropout)


def embed_pieces(model: BertBiLSTM, rows: Floats) -> None:
    """Set the embeddings of all pieces except the special ones to `rows` [pieces, W], projected, in place."""
    first, width = len(SPECIAL_TOKENS), model.shape.embedding
    start = reduce_width(rows, width, centred=True) * np.float32(_INPUT_RMS * width**0.5)
    with torch.no_grad():
        model.embedding.weight[first : first + len(start)] = torch.from_numpy(start)


def piece_sentence_embeddings(tokenizer: Tokenizer, vectors: SentenceEmbeddings) -> Floats:
    """Return the encoder's sentence embedding of each piece, float32 [pieces, W]."""
    return vectors.of(_pieces(tokenizer)).astype(np.float32)


def piece_word_embeddings(tokenizer: Tokenizer, folder: Path) -> Floats:
    """Return the mean of the encoder's word embeddings of each piece, float32 [pieces, W]."""
    table = load_encoder(folder, "AutoModel").get_input_embeddings().weight.detach().float().numpy()
    encoder_tokenizer = load_tokenizer(folder)
    vocabulary = encoder_tokenizer.get_vocab()
    first = len(SPECIAL_TOKENS)
    rows = np.zeros((tokenizer.get_vocab_size() - first, table.shape[1]), dtype=np.float32)
    for i in range(len(rows)):
        piece = str(tokenizer.id_to_token(first + i))
        plain = piece.removeprefix("##")
        known = vocabulary.get(piece)
        ids = [known] if known is not None else encoder_tokenizer.encode(plain, add_special_tokens=False).ids
        if ids:
            rows[i] = table[ids].mean(axis=0)
    return rows


def reduce_width(vectors: npt.NDArray[Any], width: int, *, centred: bool) -> Floats:
    """Project rows [N, W] on their `width` principal directions (of 50,000 rows) and scale them to length 1.

    Without centring, the projection approximates the cosines between rows.
    """
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float32)
    mean = sample.mean(axis=0) if centred else np.zeros(vectors.shape[1], dtype=np.float32)
    spread = (sample - mean).T @ (sample - mean)
    _, directions = np.linalg.eigh(spread)
    reduced = (vectors.astype(np.float32) - mean) @ directions[:, : -width - 1 : -1]
    if reduced.shape[1] < width:
        reduced = np.pad(reduced, ((0, 0), (0, width - reduced.shape[1])))
    norm = np.linalg.norm(reduced, axis=1, keepdims=True)
    unit: Floats = (reduced / np.maximum(norm, 1e-6)).astype(np.float32)
    return unit


def _pieces(tokenizer: Tokenizer) -> list[str]:
    first = len(SPECIAL_TOKENS)
    return [str(tokenizer.id_to_token(i)).removeprefix("##") for i in range(first, tokenizer.get_vocab_size())]
