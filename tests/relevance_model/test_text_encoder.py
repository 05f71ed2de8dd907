"""States belong to their texts, whichever texts share a run of the graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from relevance_model import Bundle, BundleError, Graphs, Scorer, write_bundle
from relevance_model.onnx_graph import OnnxGraph
from relevance_model.text_cache import TextCache
from relevance_model.text_encoder import TextEncoder, cut_by_length
from tests.support.small_bundles import STATE, twin_encoder


def filled(texts: list[list[int]]) -> tuple[TextCache, list[int]]:
    cache = TextCache(max_bytes=0, max_tokens=4, state_size=STATE, min_rows=16)
    cache.find([])
    rows = cache.allocate(len(texts))
    for row, ids in zip(rows, texts, strict=True):
        cache.lengths[row] = len(ids)
        cache.tokens[row, : len(ids)] = ids
    return cache, rows


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 64])
def test_every_row_gets_its_own_state(tmp_path: Path, micro_batch: int) -> None:
    bundle = twin_encoder(tmp_path / "b")
    graph = OnnxGraph(
        bundle.path / "query.onnx", allowed_inputs=frozenset({"ids", "length"}), output="state", threads=1
    )
    texts = [[[1, 2, 3], [4]], [[5, 6], [7, 8, 9, 10], [11]]]
    (first, first_rows), (second, second_rows) = (filled(side) for side in texts)
    TextEncoder(graph, [first, second], micro_batch=micro_batch).run([first_rows, second_rows])
    assert first.states[first_rows].tolist() == [[sum(ids), len(ids)] for ids in texts[0]]
    assert second.states[second_rows].tolist() == [[sum(ids), len(ids)] for ids in texts[1]]


@pytest.mark.parametrize(
    ("lengths", "most", "runs"),
    [
        ([], 4, []),
        ([5], 4, [(0, 1)]),
        ([3, 3, 3, 3, 3], 2, [(0, 2), (2, 4), (4, 5)]),
        ([4, 30], 8, [(0, 2)]),
        # Eight short ones do not read along to the end of a long one.
        ([4] * 8 + [12], 32, [(0, 8), (8, 9)]),
        ([4] * 8 + [6, 7], 32, [(0, 10)]),
    ],
)
def test_texts_are_cut_where_reading_along_costs_more_than_a_run(
    lengths: list[int], most: int, runs: list[tuple[int, int]]
) -> None:
    assert list(cut_by_length(lengths, most)) == runs


def test_one_graph_for_both_columns_scores_as_two_do(tmp_path: Path) -> None:
    two = twin_encoder(tmp_path / "two")
    one = tmp_path / "one"
    shutil.copytree(two.path, one)
    (one / "title.onnx").unlink()
    shared = Graphs(query="query.onnx", title="query.onnx", pair="pair.onnx")
    bundle = write_bundle(one, two.manifest.model_copy(update={"graphs": shared}))
    queries, titles = ["red shoes", "blue", "hat"], ["red hat", "blue boots shoes", "hat"]
    expected = Scorer(two).score_texts(queries, titles).scores
    np.testing.assert_allclose(Scorer(bundle).score_texts(queries, titles).scores, expected, atol=1e-6)
    alone = [Scorer(bundle).score_texts([q], [t]).scores[0] for q, t in zip(queries, titles, strict=True)]
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_a_state_narrower_than_the_pair_graph_reads_is_refused(tmp_path: Path) -> None:
    bundle = twin_encoder(tmp_path / "b")
    graph = OnnxGraph(
        bundle.path / "query.onnx", allowed_inputs=frozenset({"ids", "length"}), output="state", threads=1
    )
    wide = TextCache(max_bytes=0, max_tokens=4, state_size=STATE + 1, min_rows=1)
    with pytest.raises(BundleError, match=f"reads {STATE + 1} numbers of a text's state, its text graph gives {STATE}"):
        TextEncoder(graph, [wide], micro_batch=2)


def test_an_overwritten_graph_file_does_not_reach_a_loaded_model(tmp_path: Path) -> None:
    bundle = twin_encoder(tmp_path / "b")
    scorer = Scorer(bundle)
    before = scorer.score_texts(["red"], ["hat"]).scores.tolist()
    for file in bundle.path.glob("*.onnx"):
        file.write_bytes(b"")
    assert Scorer.score_texts(scorer, ["red"], ["hat"]).scores.tolist() == before
    with pytest.raises(BundleError):
        Bundle.load(bundle.path)
