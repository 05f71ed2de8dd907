"""Distinct texts as padded token ids, encoded both as a query and as a title."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.student.bilstm import TrainingBatch
from distillation.student.vocabulary import CLS, SEP, encode_texts

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


class TextTable:
    """Every distinct text once; pairs refer to texts by row.

    Parameters
    ----------
    tokenizer
        The student's.
    texts
        Texts, repeats allowed; a text without any piece is encoded as special tokens only.
    max_query_tokens, max_title_tokens
        Limits, special tokens included.
    """

    def __init__(
        self, tokenizer: Tokenizer, texts: Sequence[str], *, max_query_tokens: int, max_title_tokens: int
    ) -> None:
        self.texts = list(dict.fromkeys(texts))
        self._row_of = {text: row for row, text in enumerate(self.texts)}
        pieces = encode_texts(tokenizer, self.texts, max(max_query_tokens, max_title_tokens))
        self.query_ids, self.query_length = _pad([[CLS, *p[: max_query_tokens - 2], SEP] for p in pieces])
        self.title_ids, self.title_length = _pad([[*p[: max_title_tokens - 1], SEP] for p in pieces])

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return the row of each text."""
        return np.array([self._row_of[text] for text in texts], dtype=np.int64)

    def batch(self, query_rows: Rows, title_rows: Rows) -> TrainingBatch:
        """Gather pairs, padded to the longest of them."""
        query, query_length = _gather(self.query_ids, self.query_length, query_rows)
        title, title_length = _gather(self.title_ids, self.title_length, title_rows)
        return TrainingBatch(query, query_length, title, title_length)


def length_buckets(lengths: npt.NDArray[np.int32], batch: int, rng: np.random.Generator) -> list[Rows]:
    """Return shuffled batches of rows of similar length: random pools of 50 batches, each sorted, then shuffled."""
    order = rng.permutation(len(lengths))
    batches: list[Rows] = []
    pool = batch * 50
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches.extend(rows[i : i + batch] for i in range(0, len(rows), batch))
    return [batches[i] for i in rng.permutation(len(batches))]


def _gather(ids: Ids, length: npt.NDArray[np.int32], rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids int64 [N, L] and lengths int64 [N] of some rows."""
    lengths = length[rows]
    return torch.from_numpy(ids[rows, : lengths.max()]).long(), torch.from_numpy(lengths).long()


def _pad(sequences: list[list[int]]) -> tuple[Ids, npt.NDArray[np.int32]]:
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int32)
    ids = np.zeros((len(sequences), int(lengths.max(initial=1))), dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return ids, lengths
