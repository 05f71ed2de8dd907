"""The teacher's bundle computes the cross-encoder, independent of padding and of other rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.encoder.base_encoder import common_words, load_tokenizer
from distillation.recipe.recipe import Encoder
from distillation.teacher.cross_encoder import (
    PairReader,
    load_reader,
    pair_ids,
    predict,
    save_reader,
    write_teacher_bundle,
)
from evaluation.bundle_logits import bundle_logits
from relevance_model import Bundle
from tests.support.small_shop import BRANDS, KINDS, small_shop, write_encoder

RECIPE = Encoder(max_query_tokens=6, max_title_tokens=9)
WORDS = st.lists(st.sampled_from([*BRANDS, *KINDS, "42", "unheard-of"]), min_size=1, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)


class Teacher:
    def __init__(self, folder: Path) -> None:
        source = write_encoder(small_shop(), folder / "encoder")
        self.reader: PairReader = load_reader(source, 3)
        self.saved = folder / "teacher"
        save_reader(self.reader, source, self.saved)
        self.tokenizer = load_tokenizer(self.saved)
        self.bundle: Bundle = write_teacher_bundle(self.saved, folder / "bundle", RECIPE, name="teacher-0")

    def torch_logits(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        return predict(self.reader, pair_ids(self.tokenizer, [q for q, _ in pairs], [t for _, t in pairs], RECIPE))

    def served_logits(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        return bundle_logits(self.bundle, [q for q, _ in pairs], [t for _, t in pairs])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return Teacher(tmp_path_factory.mktemp("teacher"))


@settings(max_examples=30)
@given(pairs=PAIRS)
def test_the_bundle_says_what_the_network_says(teacher: Teacher, pairs: list[tuple[str, str]]) -> None:
    np.testing.assert_allclose(teacher.served_logits(pairs), teacher.torch_logits(pairs), atol=2e-5)


@settings(max_examples=30)
@given(pairs=PAIRS)
def test_a_logit_belongs_to_its_pair(teacher: Teacher, pairs: list[tuple[str, str]]) -> None:
    longest = (" ".join(["kestrel"] * 9), " ".join(["laptop"] * 9))
    together = teacher.served_logits([*pairs, longest])[:-1]
    alone = np.concatenate([teacher.served_logits([pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_was_saved_is_what_was_trained(teacher: Teacher) -> None:
    pairs = [("kestrel laptop", "okapi fridge 42")]
    again = predict(
        load_reader(teacher.saved, 99), pair_ids(teacher.tokenizer, ["kestrel laptop"], ["okapi fridge 42"], RECIPE)
    )
    np.testing.assert_array_equal(again, teacher.torch_logits(pairs))


def test_the_bundle_is_a_pair_graph_alone(teacher: Teacher) -> None:
    graphs = teacher.bundle.manifest.graphs
    assert (graphs.query, graphs.title) == (None, None)
    assert teacher.bundle.manifest.max_query_tokens == 6


def test_common_words_are_whole_words(teacher: Teacher) -> None:
    words = common_words(teacher.saved, 5)
    assert len(words) == 5
    assert all(word.isalpha() and len(word) > 2 for word in words)
