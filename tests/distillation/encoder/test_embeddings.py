"""Sentence embeddings: computed once per text, kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.pipeline.progress import Progress
from tests.support.small_shop import small_shop, write_encoder


def test_a_text_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(write_encoder(small_shop(), tmp_path / "encoder"))
    texts = ["kestrel laptop", "lamp", "kestrel laptop"]
    first = SentenceEmbeddings(name, tmp_path / "kept", Progress()).of(texts)
    np.testing.assert_array_equal(first[0], first[2])
    again = SentenceEmbeddings(name, tmp_path / "kept", Progress())
    monkeypatch.setattr(again, "_encode", lambda _: pytest.fail("computed again"))
    np.testing.assert_array_equal(again.of(texts), first)
    assert again.cosine(["lamp"], ["lamp"]) == pytest.approx([1.0], abs=1e-3)
    assert again.of([]).shape == (0, again.width)
