"""From a trained network to a bundle: graphs, tokenizer, card and manifest, refused unless they agree with torch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

from distillation.errors import ParityError
from distillation.graphs import PAIR_GRAPH, TEXT_GRAPH, write_graphs
from distillation.model import BertBiLSTM, round_to_half
from distillation.texts import TextTable
from distillation.training import predict
from relevance_model.bundle import (
    MODEL_CARD,
    TOKENIZER,
    Bundle,
    BundleManifest,
    Calibration,
    Graphs,
    write_bundle,
)
from relevance_model.scorer import Scorer

LABELS: Final = ("irrelevant", "relevant")
PARITY_TOLERANCE: Final = 1e-4
# Scores are float32: with a slope this flat, logits up to 40 come back out of them to within 1e-5.
_GENTLE_SLOPE: Final = 1 / 16


def export_bundle(
    model: BertBiLSTM,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    manifest: BundleManifest,
    card: str,
    probe: tuple[Sequence[str], Sequence[str]],
) -> Bundle:
    """Write ``folder`` anew, and only if the graphs agree with ``model`` on the ``probe`` pairs (queries, titles).

    The embedding table of ``model`` is rounded to float16 in place, as the bundle stores it. The bundle is assembled
    beside ``folder`` and moved over it when it is complete, so a refusal leaves the old one as it was.

    Raises
    ------
    ParityError
        If a logit differs by more than 1e-4.
    """
    round_to_half(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        write_graphs(
            model, draft, max_query_tokens=manifest.max_query_tokens, max_title_tokens=manifest.max_title_tokens
        )
        tokenizer.save(str(draft / TOKENIZER), pretty=False)
        (draft / MODEL_CARD).write_text(card, encoding="utf-8")
        check_parity(model, tokenizer, write_bundle(draft, manifest), probe)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    return Bundle.load(folder)


def draft_manifest(
    *,
    name: str,
    version: str,
    threshold: float,
    calibration: tuple[float, float],
    max_query_tokens: int,
    max_title_tokens: int,
    metrics: dict[str, Any],
    lineage: dict[str, Any],
) -> BundleManifest:
    """Describe a student; checksums are filled in when the bundle is written."""
    slope, intercept = calibration
    return BundleManifest(
        name=name,
        version=version,
        labels=LABELS,
        threshold=threshold,
        calibration=Calibration(slope=slope, intercept=intercept),
        max_query_tokens=max_query_tokens,
        max_title_tokens=max_title_tokens,
        graphs=Graphs(query=TEXT_GRAPH, title=TEXT_GRAPH, pair=PAIR_GRAPH),
        metrics=metrics,
        lineage=lineage,
    )


def check_parity(
    model: BertBiLSTM, tokenizer: Tokenizer, bundle: Bundle, probe: tuple[Sequence[str], Sequence[str]]
) -> float:
    """Return the largest difference in logits between ``model`` and ``bundle`` over the probe pairs.

    The bundle is scored the way it will be served, tokenisation included, only with a calibration that can be undone.

    Raises
    ------
    ParityError
        If it exceeds 1e-4.
    """
    queries, titles = probe
    manifest = bundle.manifest
    table = TextTable(
        tokenizer,
        [*queries, *titles],
        max_query_tokens=manifest.max_query_tokens,
        max_title_tokens=manifest.max_title_tokens,
    )
    expected = predict(model, table, table.rows(queries), table.rows(titles))
    gentle = Calibration(slope=_GENTLE_SLOPE)
    readable = Bundle(bundle.path, manifest.model_copy(update={"calibration": gentle}), bundle.sha256)
    scores = Scorer(readable).score_texts(queries, titles).scores.astype(np.float64)
    actual = (np.log(scores) - np.log1p(-scores)) / _GENTLE_SLOPE
    difference = np.abs(actual - expected)
    worst = int(np.argmax(difference)) if len(difference) else 0
    if len(difference) and not np.all(difference <= PARITY_TOLERANCE):
        raise ParityError(
            f"the exported graphs disagree with the network by {difference[worst]:.2g} on query {queries[worst]!r}, "
            f"title {titles[worst]!r}; at most {PARITY_TOLERANCE:g} is allowed"
        )
    return float(difference[worst]) if len(difference) else 0.0
