"""Starting points taken from the teacher: piece embeddings, and the teacher's vectors at the student's width."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.model import BertBiLSTM
from distillation.teacher import TeacherVectors
from distillation.vocabulary import SPECIAL_TOKENS

# A unit vector spread over E entries has a root mean square of E**-0.5; an LSTM learns faster from inputs near this.
_INPUT_RMS = 0.5
_SAMPLE = 50_000


def reduce_width(vectors: npt.NDArray[np.float16], width: int, *, centred: bool) -> npt.NDArray[np.float32]:
    """Project rows [N, 384] on their ``width`` principal directions (of 50,000 rows) and scale them to length 1.

    Uncentred, cosines between rows stay what they were, as near as ``width`` numbers can tell.
    """
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float32)
    mean = sample.mean(axis=0) if centred else np.zeros(vectors.shape[1], dtype=np.float32)
    spread = (sample - mean).T @ (sample - mean)
    _, directions = np.linalg.eigh(spread)
    reduced = (vectors.astype(np.float32) - mean) @ directions[:, : -width - 1 : -1]
    norm = np.linalg.norm(reduced, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (reduced / np.maximum(norm, 1e-6)).astype(np.float32)
    return unit


def embed_pieces(model: BertBiLSTM, tokenizer: Tokenizer, teacher: TeacherVectors) -> None:
    """Start each piece's embedding, in place, at the teacher's vector of the piece read as a text of its own."""
    first = len(SPECIAL_TOKENS)
    pieces = [str(tokenizer.id_to_token(i)).removeprefix("##") for i in range(first, tokenizer.get_vocab_size())]
    width = model.shape.embedding
    rows = reduce_width(teacher.of(pieces), width, centred=True) * (_INPUT_RMS * width**0.5)
    with torch.no_grad():
        model.embedding.weight[first : first + len(pieces)] = torch.from_numpy(rows)
