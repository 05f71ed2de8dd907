"""BertBiLSTM: embeddings, one bidirectional LSTM and a pooled classifier over ``[CLS] query [SEP] title [SEP]``.

The network is an exact BiLSTM over the joined sequence, arranged so that half of it belongs to one text alone. Tokens
are embedded with a segment: *query* or *title*, and, wherever the pass has already left the first text, *also occurs
in the other text*. Hence

- the forward LSTM over the query and the backward LSTM over the title see plain segments: a server computes them once
  per text and keeps their final states and partial pools;
- the forward LSTM goes on over the title from the query's final state, the backward LSTM over the query from the
  title's, and both see which pieces match: this is the work per pair.

Training runs the joined sequence, which is the same function with fewer, longer LSTM calls. Pools are the mean and
``max(0, max over steps)``: with zeros past the true end they do not depend on padding. A twin interaction (product,
distance and cosine of one projected vector per text; Reimers & Gurevych, 2019) joins the pools in front of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from distillation.vocabulary import PAD, SPECIAL_TOKENS

QUERY_SEGMENT: Final = 0
TITLE_SEGMENT: Final = 1
MATCH_SHIFT: Final = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network.

    Attributes
    ----------
    vocabulary
        Rows of the embedding table.
    embedding
        Width of an embedding.
    hidden
        Width of each direction of the LSTM.
    vector
        Width of the twin vector of a text.
    head
        Width of the classifier's hidden layer.
    """

    vocabulary: int
    embedding: int
    hidden: int
    vector: int
    head: int


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Padded token ids of N pairs, special tokens included.

    ``query`` int64 [N, Lq] and ``title`` int64 [N, Lt] hold 0 past ``query_length`` and ``title_length`` (int64 [N]).
    """

    query: Tensor
    query_length: Tensor
    title: Tensor
    title_length: Tensor


@dataclass(frozen=True, slots=True)
class PairOutput:
    """What the network says of N pairs: ``logit`` [N], and the twin vectors [N, D], of length sqrt(D)."""

    logit: Tensor
    query_vector: Tensor
    title_vector: Tensor


class BertBiLSTM(nn.Module):
    """The student. See the module's text for its arrangement.

    Parameters
    ----------
    shape
        Sizes.
    dropout
        Share of embeddings and of the head's inputs that training drops.
    """

    def __init__(self, shape: Shape, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.embedding, padding_idx=PAD)
        self.segment = nn.Embedding(4, shape.embedding)
        nn.init.normal_(self.segment.weight, std=0.1)
        self.forward_lstm = nn.LSTM(shape.embedding, shape.hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(shape.embedding, shape.hidden, batch_first=True)
        self.query_projection = nn.Linear(2 * shape.hidden + shape.embedding, shape.vector)
        self.title_projection = nn.Linear(2 * shape.hidden + shape.embedding, shape.vector)
        self.head_in = nn.Linear(4 * shape.hidden + 2 * shape.vector + 3, shape.head)
        self.head_out = nn.Linear(shape.head, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: PairBatch) -> PairOutput:
        """Score pairs by the joined sequence."""
        query_words, title_words = self.embedding(batch.query), self.embedding(batch.title)
        query_hit, title_hit = matches(batch.query, batch.title)
        width = batch.query.shape[1]
        forward_words = torch.cat(
            [
                query_words + self.segment.weight[QUERY_SEGMENT],
                title_words + self.segment(TITLE_SEGMENT + MATCH_SHIFT * title_hit.long()),
            ],
            dim=1,
        )
        backward_words = torch.cat(
            [
                query_words + self.segment(QUERY_SEGMENT + MATCH_SHIFT * query_hit.long()),
                title_words + self.segment.weight[TITLE_SEGMENT],
            ],
            dim=1,
        )
        total = batch.query_length + batch.title_length
        position = torch.arange(int(total.max()), device=total.device).unsqueeze(0)
        inside = (position < total.unsqueeze(1)).unsqueeze(-1)
        ahead = self._run(self.forward_lstm, forward_words, position.expand(len(total), -1), batch, width) * inside
        behind = self._run(self.backward_lstm, backward_words, total.unsqueeze(1) - 1 - position, batch, width) * inside

        in_query = (position < batch.query_length.unsqueeze(1)).unsqueeze(-1)
        in_title = (position < batch.title_length.unsqueeze(1)).unsqueeze(-1)
        query_vector = self._vector(self.query_projection, ahead * in_query, query_words, batch.query_length)
        title_vector = self._vector(self.title_projection, behind * in_title, title_words, batch.title_length)
        product = query_vector * title_vector
        features = torch.cat(
            [
                *_pool(ahead, total),
                *_pool(behind, total),
                product,
                (query_vector - title_vector).abs(),
                product.mean(dim=1, keepdim=True),
                (query_hit.sum(1) / batch.query_length).unsqueeze(1),
                (title_hit.sum(1) / batch.title_length).unsqueeze(1),
            ],
            dim=1,
        )
        logit = self.head_out(self.dropout(torch.relu(self.head_in(self.dropout(features))))).squeeze(1)
        return PairOutput(logit, query_vector, title_vector)

    def _run(self, lstm: nn.LSTM, words: Tensor, joined: Tensor, batch: PairBatch, width: int) -> Tensor:
        """Run ``lstm`` over positions ``joined`` of the joined sequence; ``words`` is padded query, padded title."""
        length = batch.query_length.unsqueeze(1)
        joined = joined.clamp(min=0)
        index = torch.where(joined < length, joined, joined - length + width).clamp(max=words.shape[1] - 1)
        steps: Tensor = lstm(_take(self.dropout(words), index))[0]
        return steps

    def _vector(self, projection: nn.Linear, steps: Tensor, words: Tensor, length: Tensor) -> Tensor:
        # The embedding of [PAD] is zero, so padding adds nothing to the sum of words.
        mean_word = words.sum(1) / length.unsqueeze(1)
        raw = projection(torch.cat([*_pool(steps, length), mean_word], dim=1))
        vector: Tensor = nn.functional.normalize(raw, dim=1, eps=1e-6) * self.shape.vector**0.5
        return vector


def matches(query: Tensor, title: Tensor) -> tuple[Tensor, Tensor]:
    """Tell which pieces also occur in the other text: bool [N, Lq] and bool [N, Lt]; special tokens never do."""
    same = (query.unsqueeze(2) == title.unsqueeze(1)) & (query >= len(SPECIAL_TOKENS)).unsqueeze(2)
    return same.any(2), same.any(1)


def round_to_half(model: BertBiLSTM) -> None:
    """Round the embedding table to float16, the precision that a bundle stores, so that both compute the same."""
    with torch.no_grad():
        model.embedding.weight.copy_(model.embedding.weight.half().float())


def _pool(steps: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and non-negative maximum of steps [N, L, H] that hold zeros past ``length``."""
    return steps.sum(1) / length.unsqueeze(1), steps.amax(1).clamp(min=0.0)


def _take(words: Tensor, index: Tensor) -> Tensor:
    return words.gather(1, index.unsqueeze(-1).expand(-1, -1, words.shape[2]))
