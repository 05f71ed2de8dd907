"""Step `pretrain`: masked language modelling of the encoder on the titles (Devlin et al., 2019).

This is the first step of eBERT (arXiv 2108.10197). `encoder/` is the pretrained encoder in transformers' layout;
`history.json` the loss. The weights of a sentence encoder lack a masked-word head: a new one is tied to the word
embeddings and trained at a higher learning rate, so that the encoder does not move far while the head is still random.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import safe_open

from distillation.encoder.base_encoder import (
    MASKED_WORD_HEADS,
    device,
    encoder_folder,
    load_encoder,
    load_tokenizer,
    masked_word_head,
    pad,
    token_id,
)
from distillation.errors import TrainingError
from distillation.pipeline.workspace import CHECKPOINT, Context, read_columns, write_json
from distillation.training_loop import BatchPlan, Training, train

FOLDER: Final = "pretrain"
ENCODER: Final = "encoder"
_MAX_TOKENS: Final = 64
# Of the pieces to predict, shares that are masked and replaced by a random piece; the rest is unchanged (Devlin et al.,
# 2019, section 3.1).
_MASKED, _RANDOM = 0.8, 0.1


def run(context: Context) -> None:
    """Train, and write the encoder."""
    recipe, folder = context.recipe.pretrain, context.folder(FOLDER)
    source = encoder_folder(context.recipe.encoder.name)
    if recipe.rows == 0:
        write_encoder(load_encoder(source, "AutoModel"), source, folder / ENCODER)
        write_json(folder / "history.json", [])
        return
    torch.manual_seed(context.recipe.seed)
    where = device()
    model = load_encoder(source, "AutoModelForMaskedLM").to(where)
    tokenizer = load_tokenizer(source)
    titles = read_columns(context.folder("prepare") / "titles.parquet")["title"]
    encodings = tokenizer.encode_batch_fast(titles)
    ids = [encoding.ids[:_MAX_TOKENS] for encoding in encodings if len(encoding.ids) > 2]
    if not ids:
        raise TrainingError("pretrain: no title has a piece of the encoder's vocabulary; set [pretrain] rows = 0")
    lengths = np.array([len(sequence) for sequence in ids])
    special = torch.tensor([token_id(tokenizer, token) for token in ("[PAD]", "[CLS]", "[SEP]")], device=where)
    mask_id, vocabulary = token_id(tokenizer, "[MASK]"), tokenizer.get_vocab_size()

    def batches(rng: np.random.Generator) -> list[Any]:
        order = rng.permutation(len(ids))
        order = np.concatenate(
            [
                part[np.argsort(lengths[part], kind="stable")]
                for part in np.array_split(order, max(1, len(order) // 2048))
            ]
        )
        cut = [order[start : start + recipe.batch] for start in range(0, len(order), recipe.batch)]
        return [cut[i] for i in rng.permutation(len(cut))]

    plan = BatchPlan(batches, context.recipe.seed)

    def loss_of(step: int) -> torch.Tensor:
        inputs, mask = pad([ids[row] for row in plan(step)], where)
        chosen = (torch.rand(inputs.shape, device=where) < recipe.mask) & ~torch.isin(inputs, special)
        labels = torch.where(chosen, inputs, -100)
        draw = torch.rand(inputs.shape, device=where)
        inputs = torch.where(chosen & (draw < _MASKED), mask_id, inputs)
        randomised = chosen & (draw >= _MASKED) & (draw < _MASKED + _RANDOM)
        inputs = torch.where(randomised, torch.randint_like(inputs, vocabulary), inputs)
        # The head is computed for the chosen positions only: it is as wide as the vocabulary.
        hidden = model.base_model(input_ids=inputs, attention_mask=mask).last_hidden_state[chosen]
        if len(hidden) == 0:
            return torch.zeros((), device=where, requires_grad=True)
        logits = masked_word_head(model)(hidden)
        loss: torch.Tensor = torch.nn.functional.cross_entropy(logits, labels[chosen])
        return loss

    training = Training(
        "pretrain",
        steps=max(1, recipe.rows // recipe.batch),
        learning_rate=recipe.learning_rate,
        rates=() if _has_head(source) else tuple((f"{name}.", recipe.head_learning_rate) for name in MASKED_WORD_HEADS),
        seed=context.recipe.seed,
        checkpoint=folder / CHECKPOINT,
        every_seconds=context.recipe.checkpoint_seconds,
    )
    history = train(model, training, loss_of, context.progress)
    # Masked language modelling does not train the pooler, which stays that of the base encoder.
    pretrained = load_encoder(source, "AutoModel")
    pretrained.load_state_dict(model.base_model.cpu().state_dict(), strict=False)
    write_encoder(pretrained, source, folder / ENCODER)
    write_json(folder / "history.json", history)


def write_encoder(model: Any, source: Path, folder: Path) -> None:
    """Write a model of transformers with the tokenizer of `source`."""
    shutil.rmtree(folder, ignore_errors=True)
    model.to("cpu").save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def _has_head(folder: Path) -> bool:
    """Return whether the weights include a masked-word head."""
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        return any(name.split(".")[0] in MASKED_WORD_HEADS for name in weights.keys())  # noqa: SIM118
