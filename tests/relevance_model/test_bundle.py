"""A bundle proves that it is unaltered, or is refused with the file's name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relevance_model import Bundle, BundleError, Scorer, default_bundle_path
from tests.support.small_bundles import cross_encoder, twin_encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle_path(), tmp_path / "bundle"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as error:
        Bundle.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_default_student_loads() -> None:
    bundle = Bundle.default()
    assert bundle.manifest.labels == ("irrelevant", "relevant")
    assert re.fullmatch("[0-9a-f]{64}", bundle.sha256)


def test_the_default_student_fits_the_wheel() -> None:
    assert sum(path.stat().st_size for path in default_bundle_path().iterdir()) <= 8 << 20


def test_a_flipped_byte_is_found(folder: Path) -> None:
    graph = folder / "pair.onnx"
    raw = bytearray(graph.read_bytes())
    raw[len(raw) // 2] ^= 1
    graph.write_bytes(raw)
    assert "pair.onnx has SHA-256" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "text.onnx", "MODEL_CARD.md"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} cannot be read" in refusal(folder)


def test_an_unlisted_file_is_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert "notes.txt is not listed" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.update(schema_version=2), "schema_version"),
        (lambda m: m.update(colour="red"), "colour"),
        (lambda m: m.pop("threshold"), "threshold"),
        (lambda m: m.update(labels=["a", "a"]), "labels must be two different"),
        (lambda m: m["files"].pop("tokenizer.json"), "lists no checksum for tokenizer.json"),
        (lambda m: m["graphs"].update(pair="other.onnx"), "lists no checksum for other.onnx"),
        (lambda m: m["files"].update({"../x": "0"}), "not a plain file name"),
        (lambda m: m["calibration"].update(slope=-1.0), "calibration.slope"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    edit(folder, change)
    assert expected in refusal(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "bundle.json").write_text("{")
    assert "bundle.json" in refusal(folder)


def test_no_folder_and_no_manifest_are_told_apart(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "absent")
    assert "bundle.json cannot be read" in refusal(tmp_path)


def test_a_graph_that_does_not_load_is_named(tmp_path: Path) -> None:
    bundle = cross_encoder(tmp_path / "b")
    (bundle.path / "pair.onnx").write_bytes(b"not onnx")
    with pytest.raises(BundleError, match=r"pair\.onnx: not a loadable ONNX graph"):
        Scorer(bundle)


def test_a_state_of_unknown_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="width must be declared"):
        Scorer(twin_encoder(tmp_path / "b", ragged=True))
