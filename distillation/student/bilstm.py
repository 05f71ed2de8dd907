"""BertBiLSTM with late interaction: one bidirectional LSTM encodes each text, token vectors are compared per pair.

Everything expensive is computed per text: embeddings, both directions of the LSTM, and three projections of its steps:
a vector and an importance per token, and one twin vector of the whole text. Queries and titles share the weights; a
query begins with [CLS], a title does not. A server computes this once per text and caches it, as TwinBERT does (Lu et
al., 2020, arXiv 2002.06275). Per pair remains a small matrix of cosines between the token vectors of both texts. The
head reads from it

- the cosine of each token's best match in the other text, weighted by importance and counted in soft bins (kernel
  pooling, Xiong et al., 2017, "K-NRM"; best matches, Khattab & Zaharia, 2020, "ColBERT"),
- the share of the important pieces that also occur literally in the other text,
- what the title lacks of the query if all pieces have equal weight, on average and at worst: "usb fan" asks for both,
- product and distance of the twin vectors (Reimers & Gurevych, 2019, "Sentence-BERT").

Padding cannot change a result: it has zero vectors, neither padding nor special tokens have importance, and a best
match counts as `max(0, cosine)`. For the same reason the pools over steps are the mean and `max(0, max)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from distillation.student.vocabulary import PAD, SPECIAL_TOKENS

# Soft bins of cosines: their centres, and the factor of the squared distance (a standard deviation of 0.08).
KERNEL_CENTRES: Final = tuple(i / 10 for i in range(11))
KERNEL_SHARPNESS: Final = 78.0
TINY: Final = 1e-6
# Per direction: bins, mean best match and literal share.
_MATCH_FEATURES: Final = len(KERNEL_CENTRES) + 2
# Of the query: mean and worst gap, by best match and literally.
_GAP_FEATURES: Final = 4


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
    token
        Width of a token's vector.
    """

    vocabulary: int
    embedding: int
    hidden: int
    vector: int
    head: int
    token: int = 32


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Padded token ids of N pairs, special tokens included.

    `query` int64 [N, Lq] and `title` int64 [N, Lt] hold 0 past `query_length` and `title_length` (int64 [N]).
    """

    query: Tensor
    query_length: Tensor
    title: Tensor
    title_length: Tensor


@dataclass(frozen=True, slots=True)
class TextState:
    """The encoded texts of one side of N pairs.

    `ids` int64 [N, L]; `tokens` [N, L, T], each of length 1, or 0 for padding; `share` [N, L], each token's share of
    the text's importance, which sum to 1; `vector` [N, D], of length sqrt(D); `weight` [N, 1], the logarithm of the
    text's total importance.
    """

    ids: Tensor
    tokens: Tensor
    share: Tensor
    vector: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True)
class PairOutput:
    """The network's output for N pairs: `logit` [N], and the twin vectors [N, D], of length sqrt(D)."""

    logit: Tensor
    query_vector: Tensor
    title_vector: Tensor


class BertBiLSTM(nn.Module):
    """The student; the module's docstring describes its architecture.

    Parameters
    ----------
    shape
        Sizes.
    dropout
        Dropout rate of embeddings and of the head's inputs.
    """

    def __init__(self, shape: Shape, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        steps = 2 * shape.hidden
        self.embedding = nn.Embedding(shape.vocabulary, shape.embedding, padding_idx=PAD)
        self.forward_lstm = nn.LSTM(shape.embedding, shape.hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(shape.embedding, shape.hidden, batch_first=True)
        # Without bias, padding stays zero: its step and its embedding are zero.
        self.token_projection = nn.Linear(steps + shape.embedding, shape.token, bias=False)
        self.importance = nn.Linear(steps + shape.embedding, 1)
        self.text_projection = nn.Linear(2 * steps + shape.embedding, shape.vector)
        self.head_in = nn.Linear(2 * _MATCH_FEATURES + _GAP_FEATURES + 2 * (shape.vector + 1), shape.head)
        self.head_out = nn.Linear(shape.head, 1)
        self.dropout = nn.Dropout(dropout)
        self.centres: Tensor
        self.register_buffer("centres", torch.tensor(KERNEL_CENTRES), persistent=False)

    def forward(self, batch: TrainingBatch) -> PairOutput:
        """Score pairs row by row."""
        query, title = self.read(batch.query, batch.query_length), self.read(batch.title, batch.title_length)
        return PairOutput(self.compare(query, title), query.vector, title.vector)

    def read(self, ids: Tensor, length: Tensor) -> TextState:
        """Encode texts: ids int64 [N, L], length int64 [N]."""
        position = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        inside = (position < length.unsqueeze(1)).unsqueeze(-1)
        words = self.dropout(self.embedding(ids))
        ahead = self.forward_lstm(words)[0]
        mirror = (length.unsqueeze(1) - 1 - position).clamp(min=0)
        behind = _take(self.backward_lstm(_take(words, mirror))[0], mirror)
        steps = torch.cat([ahead, behind], dim=-1) * inside
        full = torch.cat([steps, words], dim=-1)
        tokens = nn.functional.normalize(self.token_projection(full), dim=-1, eps=TINY)
        importance = nn.functional.softplus(self.importance(full).squeeze(-1)) * (ids >= len(SPECIAL_TOKENS))
        total = importance.sum(1, keepdim=True)
        # The embedding of [PAD] is zero, so padding adds nothing to the sum of words.
        count = length.unsqueeze(1)
        pooled = torch.cat([steps.sum(1) / count, words.sum(1) / count, steps.amax(1).clamp(min=0.0)], dim=1)
        vector = nn.functional.normalize(self.text_projection(pooled), dim=1, eps=TINY) * self.shape.vector**0.5
        return TextState(ids, tokens, importance / total.clamp(min=TINY), vector, torch.log(total + 1.0))

    def compare(self, query: TextState, title: TextState) -> Tensor:
        """Return the logit [N] of each row's query and title."""
        cosine = query.tokens @ title.tokens.transpose(1, 2)
        query_best, title_best = cosine.amax(2).clamp(min=0.0), cosine.amax(1).clamp(min=0.0)
        query_hit, title_hit = matches(query.ids, title.ids)
        left, right = torch.cat([query.vector, query.weight], dim=1), torch.cat([title.vector, title.weight], dim=1)
        features = torch.cat(
            [
                self._match_features(query.share, query_best, query_hit),
                self._match_features(title.share, title_best, title_hit),
                _gap_features(query.share, query_best, query_hit),
                left * right,
                (left - right).abs(),
            ],
            dim=1,
        )
        logit: Tensor = self.head_out(self.dropout(torch.relu(self.head_in(self.dropout(features))))).squeeze(1)
        return logit

    def _match_features(self, share: Tensor, best: Tensor, hit: Tensor) -> Tensor:
        """Describe how the other text covers one text: [N, L] each to [N, F]."""
        best = best.unsqueeze(-1)
        bins = torch.exp(-KERNEL_SHARPNESS * (best - self.centres).square())
        columns = torch.cat([bins, best, hit.unsqueeze(-1)], dim=-1)
        features: Tensor = (share.unsqueeze(1) @ columns).squeeze(1)
        return features


def _gap_features(share: Tensor, best: Tensor, hit: Tensor) -> Tensor:
    """Describe what the other text lacks, all pieces of equal weight: [N, L] each to [N, 4]."""
    counted = share.sign().unsqueeze(-1)
    missing = (1.0 - torch.stack([best, hit.float()], dim=-1)) * counted
    return torch.cat([missing.sum(1) / counted.sum(1).clamp(min=1.0), missing.amax(1)], dim=1)


def matches(query: Tensor, title: Tensor) -> tuple[Tensor, Tensor]:
    """Return which ids also occur in the other text: bool [N, Lq] and bool [N, Lt].

    Special tokens may match too, but have no share.
    """
    same = query.unsqueeze(2) == title.unsqueeze(1)
    return same.any(2), same.any(1)


def round_to_float16(model: BertBiLSTM) -> None:
    """Round the embedding table to float16, the precision of a bundle's table, so that network and bundle agree."""
    with torch.no_grad():
        model.embedding.weight.copy_(model.embedding.weight.half().float())


def _take(words: Tensor, index: Tensor) -> Tensor:
    return words.gather(1, index.unsqueeze(-1).expand(-1, -1, words.shape[2]))
