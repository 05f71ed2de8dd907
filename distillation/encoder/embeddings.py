"""Sentence embeddings of the frozen encoder: unit vectors of single texts, and cosines between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.encoder.base_encoder import (
    device,
    encoder_config,
    encoder_digest,
    encoder_folder,
    load_encoder,
    load_tokenizer,
    pad,
)
from distillation.pipeline.fingerprint import value_digest
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import replace_file

_CHUNK: Final = 4096
_BATCH: Final = 64
_MAX_TOKENS: Final = 64


class SentenceEmbeddings:
    """Unit sentence embeddings of the frozen encoder (mean pooling), computed once per distinct text and kept on disk.

    On a CPU the encoder computes in bfloat16, which is twice as fast; embeddings are stored as float16.

    Parameters
    ----------
    name
        The encoder's name.
    root
        Folder that keeps the embeddings, in a folder per encoder, token limit and dtype; made if absent.
    progress
        Shows the computation.
    """

    def __init__(self, name: str, root: Path, progress: Progress) -> None:
        self._source = encoder_folder(name)
        self._dtype = torch.bfloat16 if device().type == "cpu" else torch.float16
        self._folder = root / value_digest([encoder_digest(name), _MAX_TOKENS, str(self._dtype)])[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._progress = progress
        self.width = int(encoder_config(self._source).hidden_size)
        self._row_of: dict[str, int] = {}
        self._chunks: list[npt.NDArray[np.float16]] = []
        self._model: tuple[Any, Tokenizer] | None = None
        for path in sorted(self._folder.glob("chunk-*.npz")):
            with np.load(path) as chunk:
                self._append(chunk["texts"].tolist(), chunk["vectors"])

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Return the texts' embeddings, float16 [N, width]; those not on disk yet are computed and stored."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._row_of]
        if len(missing) > _CHUNK:
            with self._progress.task("embeddings of the frozen encoder", len(missing), unit="texts") as task:
                for start in range(0, len(missing), _CHUNK):
                    part = missing[start : start + _CHUNK]
                    self._keep(part, self._encode(part))
                    task.update(start + len(part))
        elif missing:
            self._keep(missing, self._encode(missing))
        if not texts:
            return np.zeros((0, self.width), dtype=np.float16)
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        return self._chunks[0][[self._row_of[text] for text in texts]]

    def cosine(self, queries: Sequence[str], titles: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of each query with its title, float32 [N]."""
        distinct = list(dict.fromkeys([*queries, *titles]))
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors = self.of(distinct)
        rows_q = np.array([row_of[text] for text in queries], dtype=np.int64)
        rows_t = np.array([row_of[text] for text in titles], dtype=np.int64)
        return row_cosine(vectors, rows_q, rows_t)

    def _keep(self, texts: list[str], vectors: npt.NDArray[np.float16]) -> None:
        number = len(list(self._folder.glob("chunk-*.npz")))
        replace_file(self._folder / f"chunk-{number:05d}.npz", lambda draft: _save(draft, texts, vectors))
        self._append(texts, vectors)

    def _append(self, texts: list[str], vectors: npt.NDArray[np.float16]) -> None:
        start = len(self._row_of)
        for offset, text in enumerate(texts):
            self._row_of[text] = start + offset
        self._chunks.append(vectors)

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float16]:
        if self._model is None:
            model = load_encoder(self._source, "AutoModel", dtype=self._dtype).eval().to(device())
            self._model = model, load_tokenizer(self._source)
        model, tokenizer = self._model
        encodings = tokenizer.encode_batch_fast(texts)
        vectors = np.zeros((len(texts), self.width), dtype=np.float16)
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                rows = order[start : start + _BATCH]
                cut = [
                    encodings[i].ids
                    if len(encodings[i].ids) <= _MAX_TOKENS
                    else [*encodings[i].ids[: _MAX_TOKENS - 1], encodings[i].ids[-1]]
                    for i in rows
                ]
                ids, mask = pad(cut, model.device)
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                weights = mask.unsqueeze(-1).float()
                pooled = (hidden * weights).sum(1) / weights.sum(1)
                vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1).half().cpu().numpy()
        return vectors


def _save(path: Path, texts: list[str], vectors: npt.NDArray[np.float16]) -> None:
    # Passed as a file object: numpy would append an extension to a path.
    with path.open("wb") as file:
        np.savez(file, texts=np.array(texts, dtype=np.str_), vectors=vectors)


def row_cosine(
    vectors: npt.NDArray[np.float16], rows_q: npt.NDArray[np.int64], rows_t: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the dot product of unit vectors, row by row, float32 [N]."""
    cosine = np.empty(len(rows_q), dtype=np.float32)
    for start in range(0, len(cosine), 1 << 15):
        part = slice(start, start + (1 << 15))
        q, t = vectors[rows_q[part]].astype(np.float32), vectors[rows_t[part]].astype(np.float32)
        cosine[part] = np.einsum("nd,nd->n", q, t)
    return cosine
