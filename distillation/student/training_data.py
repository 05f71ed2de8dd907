"""The training data of students: vocabulary, texts with the encoder's embeddings, and the pairs of each stage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distillation.data.folds import JudgedRows, read_judged
from distillation.encoder.base_encoder import common_words
from distillation.pipeline.workspace import Context, read_columns, replace_file
from distillation.recipe.recipe import Sizes
from distillation.student.bilstm import BertBiLSTM
from distillation.student.initialization import (
    embed_pieces,
    new_student,
    piece_sentence_embeddings,
    piece_word_embeddings,
    reduce_width,
)
from distillation.student.text_table import TextTable
from distillation.student.training import SharedPairs, TargetRows, shared_pairs
from distillation.student.vocabulary import train_vocabulary
from distillation.teacher.ensemble import base_encoder, evaluation_guard, sentence_embeddings

TOKENIZER: Final = "tokenizer.json"
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data that all fits of one set of sizes share.

    Attributes
    ----------
    tokenizer, table
        The vocabulary, and every text as its ids.
    vectors
        The frozen encoder's embedding of each text of `table`, float16 [texts, W].
    shared, origins
        Pairs of the shared stage, and the origin of each.
    judged
        The judgements.
    """

    context: Context
    sizes: Sizes
    tokenizer: Tokenizer
    table: TextTable
    vectors: npt.NDArray[np.float16]
    shared: SharedPairs
    origins: list[str]
    judged: JudgedRows

    @staticmethod
    def build(context: Context, sizes: Sizes, tokenizer_file: Path) -> TrainingData:
        """Read the files of earlier steps; load the vocabulary from `tokenizer_file`, or train and save it there."""
        prepared = context.folder("prepare")
        judged = read_judged(context)
        pairs = read_columns(context.folder("augment") / "pairs.parquet")
        weak = read_columns(prepared / "weak.parquet")
        titles = read_columns(prepared / "titles.parquet")["title"]
        unjudged = read_columns(prepared / "queries.parquet")["query"]

        tokenizer = _vocabulary(context, sizes, tokenizer_file, [*titles, *unjudged, *dict.fromkeys(pairs["query"])])
        table = TextTable(
            tokenizer,
            [*judged.queries, *judged.titles, *pairs["query"], *pairs["title"], *weak["query"], *weak["title"]],
            max_query_tokens=sizes.max_query_tokens,
            max_title_tokens=sizes.max_title_tokens,
        )
        vectors = sentence_embeddings(context).of(table.texts)
        shared, origins = _shared(context, table, vectors, pairs, weak)
        return TrainingData(context, sizes, tokenizer, table, vectors, shared, origins, judged)

    def twin_vectors(self) -> Floats:
        """Return the encoder's embeddings at the width of the student's twin vector, float32 [texts, D]."""
        return reduce_width(self.vectors, self.sizes.vector, centred=False)

    def shared_of(self, origins: Collection[str]) -> SharedPairs:
        """Return the shared stage's pairs of these origins."""
        rows = np.flatnonzero([origin in origins for origin in self.origins])
        pairs = self.shared
        return SharedPairs(
            pairs.query_rows[rows], pairs.title_rows[rows], pairs.target[rows], pairs.cosine[rows], pairs.weight[rows]
        )

    def soft(self, fold: str, origins: Collection[str] | None = None) -> TargetRows:
        """Return the soft labels of a fold's teacher, of all pairs or of those of these origins."""
        columns = read_columns(self.context.folder("pseudo-label") / f"{fold}.parquet")
        rows = [row for row, origin in enumerate(columns["origin"]) if origins is None or origin in origins]
        queries, titles = [columns["query"][row] for row in rows], [columns["title"][row] for row in rows]
        return TargetRows.of(self.table, queries, titles, columns["logit"][rows])

    def no_rows(self) -> TargetRows:
        """Return an empty set of soft labels."""
        return TargetRows.of(self.table, [], [], np.zeros(0, dtype=np.float32))

    def new_student(self) -> BertBiLSTM:
        """Return an untrained student with random weights."""
        recipe = self.context.recipe
        return new_student(self.sizes, self.tokenizer, dropout=recipe.student.dropout, seed=recipe.seed)

    def initialized_student(self) -> BertBiLSTM:
        """Return an untrained student whose embeddings are projected from the encoder's."""
        model = self.new_student()
        if self.context.recipe.student.embeddings == "words":
            pretrained = self.context.folder("pretrain") / "encoder"
            embed_pieces(model, piece_word_embeddings(self.tokenizer, pretrained))
        else:
            embed_pieces(model, piece_sentence_embeddings(self.tokenizer, sentence_embeddings(self.context)))
        return model


def _vocabulary(context: Context, sizes: Sizes, path: Path, corpus: Sequence[str]) -> Tokenizer:
    if path.exists():
        return Tokenizer.from_file(str(path))
    words = common_words(base_encoder(context), sizes.common_words)
    tokenizer = train_vocabulary(corpus, size=sizes.vocabulary, words=words)
    replace_file(path, lambda draft: tokenizer.save(str(draft), pretty=False))
    return tokenizer


def _shared(
    context: Context,
    table: TextTable,
    vectors: npt.NDArray[np.float16],
    pairs: dict[str, Any],
    weak: dict[str, Any],
) -> tuple[SharedPairs, list[str]]:
    augmented = np.flatnonzero(pairs["for_all_folds"])
    passing = np.flatnonzero(evaluation_guard(context).passing(weak["query"]))
    queries = [*(pairs["query"][row] for row in augmented), *(weak["query"][row] for row in passing)]
    titles = [*(pairs["title"][row] for row in augmented), *(weak["title"][row] for row in passing)]
    label = np.concatenate([np.full(len(augmented), np.nan, dtype=np.float32), weak["target"][passing]])
    recipe = context.recipe
    shared = shared_pairs(
        table,
        vectors,
        queries,
        titles,
        label.astype(np.float32),
        slope=recipe.pseudo_label.cosine_slope,
        centre=recipe.pseudo_label.cosine_centre,
        weak_weight=recipe.student.shared.weak_weight,
    )
    return shared, [*(pairs["origin"][row] for row in augmented), *(["weak"] * len(passing))]
