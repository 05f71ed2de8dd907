"""The cross-encoder: one encoder reads `[CLS] query [SEP] title [SEP]` and returns a logit.

The model is that of `transformers`. This module encodes pairs, trains the model, and writes it as a bundle: a single
graph that concatenates the two texts by their true lengths, so that no score depends on padding.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from distillation.encoder.base_encoder import device, load_encoder, load_tokenizer, quiet, token_id
from distillation.pipeline.progress import Progress
from distillation.recipe.recipe import CrossEncoder, Encoder
from distillation.training_loop import BatchPlan, Training, train
from relevance_model.bundle import MODEL_CARD, TOKENIZER, Bundle, BundleManifest, Calibration, Graphs, write_bundle

PAIR_GRAPH: Final = "pair.onnx"
_INPUTS: Final = ("query_ids", "query_length", "title_ids", "title_length")
_EVAL_BATCH: Final = 64
_OPSET: Final = 18


@dataclass(frozen=True, slots=True)
class PairIds:
    """Token ids of N pairs, as a bundle's inputs: queries with `[CLS]` and `[SEP]`, titles with `[SEP]`."""

    queries: list[list[int]]
    titles: list[list[int]]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the joint length of each pair, int64 [N]."""
        return np.array([len(q) + len(t) for q, t in zip(self.queries, self.titles, strict=True)], dtype=np.int64)

    def feed(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return query ids int32 [N, Lq], their lengths int32 [N], and the same of titles."""
        query, query_length = _padded([self.queries[i] for i in rows])
        title, title_length = _padded([self.titles[i] for i in rows])
        return query, query_length, title, title_length


class PairReader(nn.Module):
    """A sequence classifier of transformers behind the inputs of a bundle's pair graph."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        # DistilBERT, for example, has no segments: only [SEP] separates the two texts.
        self._has_segments = getattr(classifier.config, "type_vocab_size", 0) >= 2

    def forward(self, query_ids: Tensor, query_length: Tensor, title_ids: Tensor, title_length: Tensor) -> Tensor:
        """Return logits [N]; padding between the texts is moved to the end and masked."""
        both = torch.cat([query_ids, title_ids], dim=1).long()
        query_end = query_length.long().unsqueeze(1)
        end = query_end + title_length.long().unsqueeze(1)
        position = torch.arange(both.shape[1], device=both.device).unsqueeze(0)
        source = torch.where(position < query_end, position, position - query_end + query_ids.shape[1])
        inside = position < end
        # [PAD] is 0 in a bundle.
        ids = torch.where(inside, both.gather(1, source.clamp(max=both.shape[1] - 1)), 0)
        segments = {"token_type_ids": ((position >= query_end) & inside).long()} if self._has_segments else {}
        logit: Tensor = self.classifier(input_ids=ids, attention_mask=inside.long(), **segments).logits.squeeze(1)
        return logit


def pair_ids(tokenizer: Tokenizer, queries: Sequence[str], titles: Sequence[str], recipe: Encoder) -> PairIds:
    """Encode pairs; queries and titles are truncated to their limits."""
    cls, sep = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")
    distinct = list(dict.fromkeys([*queries, *titles]))
    encodings = tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
    pieces = {text: encoding.ids for text, encoding in zip(distinct, encodings, strict=True)}
    return PairIds(
        [[cls, *pieces[text][: recipe.max_query_tokens - 2], sep] for text in queries],
        [[*pieces[text][: recipe.max_title_tokens - 1], sep] for text in titles],
    )


def load_reader(folder: Path, seed: int) -> PairReader:
    """Load an encoder for pairs; a head that its weights lack is initialised from `seed`."""
    torch.manual_seed(seed)
    classifier = load_encoder(folder, "AutoModelForSequenceClassification", num_labels=1)
    return PairReader(classifier).to(device())


def save_reader(reader: PairReader, source: Path, folder: Path) -> None:
    """Write the classifier in transformers' layout, with the tokenizer of `source`."""
    shutil.rmtree(folder, ignore_errors=True)
    classifier: Any = reader.classifier
    classifier.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def fit(
    reader: PairReader,
    pairs: PairIds,
    target: npt.NDArray[np.float32],
    recipe: CrossEncoder,
    progress: Progress,
    *,
    title: str,
    seed: int,
    checkpoint: Path | None,
    every_seconds: float,
) -> list[float]:
    """Train on `target` probabilities [N], in place; return the loss over time."""
    lengths = pairs.lengths()

    def batches(rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
        order = rng.permutation(len(lengths))
        pools = np.array_split(order, max(1, len(order) // (recipe.batch * 20)))
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        cut = [order[start : start + recipe.batch] for start in range(0, len(order), recipe.batch)]
        return [cut[i] for i in rng.permutation(len(cut))]

    plan = BatchPlan(batches, seed)
    where = next(reader.parameters()).device

    def loss_of(step: int) -> Tensor:
        rows = plan(step)
        logit = reader(*(part.to(where) for part in pairs.feed(rows)))
        return nn.functional.binary_cross_entropy_with_logits(logit, torch.from_numpy(target[rows]).to(where))

    steps = max(1, recipe.rows // recipe.batch)
    training = Training(title, steps, recipe.learning_rate, seed, checkpoint, every_seconds)
    return train(reader, training, loss_of, progress)


def predict(reader: PairReader, pairs: PairIds) -> npt.NDArray[np.float32]:
    """Return logits, float32 [N]."""
    order = np.argsort(pairs.lengths(), kind="stable")
    logits = np.empty(len(order), dtype=np.float32)
    where = next(reader.parameters()).device
    reader.eval()
    with torch.inference_mode():
        for start in range(0, len(order), _EVAL_BATCH):
            rows = order[start : start + _EVAL_BATCH]
            logits[rows] = reader(*(part.to(where) for part in pairs.feed(rows))).cpu().numpy()
    return logits


def write_teacher_bundle(source: Path, folder: Path, recipe: Encoder, *, name: str) -> Bundle:
    """Write the cross-encoder in `source` as a bundle of one pair graph, which reads ids only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    classifier = load_encoder(source, "AutoModelForSequenceClassification", num_labels=1, attn_implementation="eager")
    _write_graph(PairReader(classifier).eval(), folder / PAIR_GRAPH)
    load_tokenizer(source).save(str(folder / TOKENIZER), pretty=False)
    (folder / MODEL_CARD).write_text(
        f"# {name}\n\nA teacher's cross-encoder, written to label pairs for a student; not meant for production.\n",
        encoding="utf-8",
    )
    manifest = BundleManifest(
        name=name,
        version="0",
        labels=("irrelevant", "relevant"),
        threshold=0.5,
        calibration=Calibration(),
        max_query_tokens=recipe.max_query_tokens,
        max_title_tokens=recipe.max_title_tokens,
        graphs=Graphs(pair=PAIR_GRAPH),
    )
    return write_bundle(folder, manifest)


def _write_graph(reader: PairReader, path: Path) -> None:
    lengths = [torch.tensor([3, 5, 4], dtype=torch.int32), torch.tensor([9, 3, 4], dtype=torch.int32)]
    example = (torch.ones(3, 5, dtype=torch.int32), lengths[0], torch.ones(3, 9, dtype=torch.int32), lengths[1])
    rows, query, title = (
        torch.export.Dim(axis, max=limit) for axis, limit in (("N", 1 << 20), ("Lq", 256), ("Lt", 256))
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # The exporter prints its progress; the graph itself is checked by running it.
    with quiet(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        torch.onnx.export(
            reader,
            example,
            path,
            input_names=list(_INPUTS),
            output_names=["logit"],
            dynamo=True,
            dynamic_shapes=({0: rows, 1: query}, {0: rows}, {0: rows, 1: title}, {0: rows}),
            opset_version=_OPSET,
            external_data=False,
            verbose=False,
        )


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int32)
    ids = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.int32)
    return ids, lengths
