"""The model bundle: a folder with everything needed to score, and the checksums that show it is unaltered.

`bundle.json` is the manifest; beside it are up to three ONNX graphs, `tokenizer.json` and `MODEL_CARD.md`. Up to three
graphs score a pair, so that the work on one text is done once per text:

========== ==================================================== ==============================================
graph      inputs (each optional in `pair`)                   output
========== ==================================================== ==============================================
`query`  `ids` int32 [N, L], `length` int32 [N]           `state` float32 [N, S_q]
`title`  `ids` int32 [N, L], `length` int32 [N]           `state` float32 [N, S_t]
`pair`   `query_ids`, `query_length`, `query_state`,    `logit` float32 [N]
           `title_ids`, `title_length`, `title_state`
========== ==================================================== ==============================================

This format fits a split BiLSTM (the per-text passes are cached), a twin encoder (the pair graph reads states only)
and a cross-encoder (only the pair graph, reading ids).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relevance_model.errors import BundleError

MANIFEST = "bundle.json"
TOKENIZER = "tokenizer.json"
MODEL_CARD = "MODEL_CARD.md"
_BLOCK = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Calibration(_Strict):
    """Platt scaling: `score = sigmoid(slope * logit + intercept)` (Platt, 1999)."""

    method: Literal["platt"] = "platt"
    slope: float = Field(default=1.0, gt=0.0)
    intercept: float = 0.0


class Graphs(_Strict):
    """File names of the graphs; `query` and `title` are absent in a cross-encoder."""

    query: str | None = None
    title: str | None = None
    pair: str


class BundleManifest(_Strict):
    """The contents of `bundle.json`; unknown fields and schema versions are errors."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")
    labels: tuple[str, str]
    threshold: float = Field(ge=0.0, le=1.0)
    calibration: Calibration
    max_query_tokens: int = Field(ge=3, le=512)
    max_title_tokens: int = Field(ge=2, le=512)
    graphs: Graphs
    files: dict[str, str] = Field(default_factory=dict, description="SHA-256 (hex) of every file but this one.")
    metrics: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _labels_differ(self) -> BundleManifest:
        if self.labels[0] == self.labels[1] or not all(self.labels):
            raise ValueError("labels must be two different, non-empty names")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path
        The folder.
    manifest
        Its parsed `bundle.json`.
    sha256
        SHA-256 (hex) of `bundle.json`, which holds those of all other files: it identifies the bytes of the model.
    """

    path: Path
    manifest: BundleManifest
    sha256: str

    @staticmethod
    def load(path: str | Path) -> Bundle:
        """Read and verify a bundle.

        Raises
        ------
        BundleError
            If a file is missing, unlisted or altered, or the manifest is not understood.
        """
        folder = Path(path)
        manifest_file = folder / MANIFEST
        if not folder.is_dir():
            raise BundleError(f"bundle {folder}: no such folder")
        try:
            raw = manifest_file.read_bytes()
        except OSError as error:
            raise BundleError(f"bundle {folder}: {MANIFEST} cannot be read ({error.strerror})") from None
        try:
            manifest = BundleManifest.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise BundleError(f"bundle {folder}: {MANIFEST}: {where}: {first['msg']}") from None
        _verify_files(folder, manifest)
        return Bundle(folder, manifest, hashlib.sha256(raw).hexdigest())

    @staticmethod
    def default() -> Bundle:
        """Return the student that ships with this package."""
        return Bundle.load(default_bundle_path())


def default_bundle_path() -> Path:
    """Return the folder of the student that ships with this package."""
    return Path(str(resources.files("relevance_model"))) / "bundles" / "student"


def write_bundle(folder: str | Path, manifest: BundleManifest) -> Bundle:
    """Write `bundle.json` over the files already in `folder` and read the result back.

    Every file in the folder is listed with its checksum; `manifest.files` is replaced.
    """
    folder = Path(folder)
    files = {p.name: file_sha256(p) for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    sealed = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(sealed.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Bundle.load(folder)


def _verify_files(folder: Path, manifest: BundleManifest) -> None:
    graphs = [g for g in (manifest.graphs.query, manifest.graphs.title, manifest.graphs.pair) if g is not None]
    for name in (TOKENIZER, MODEL_CARD, *graphs):
        if name not in manifest.files:
            raise BundleError(f"bundle {folder}: {MANIFEST} lists no checksum for {name}")
    for name, expected in manifest.files.items():
        if Path(name).name != name:
            raise BundleError(f"bundle {folder}: {MANIFEST} lists {name!r}, which is not a plain file name")
        try:
            actual = file_sha256(folder / name)
        except OSError as error:
            raise BundleError(f"bundle {folder}: {name} cannot be read ({error.strerror})") from None
        if actual != expected:
            raise BundleError(
                f"bundle {folder}: {name} has SHA-256 {actual[:12]}…, the manifest says {expected[:12]}…: "
                "the file was altered or copied incompletely"
            )
    unlisted = sorted({p.name for p in folder.iterdir()} - set(manifest.files) - {MANIFEST})
    if unlisted:
        raise BundleError(f"bundle {folder}: {unlisted[0]} is not listed in {MANIFEST}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
