"""Write a trained student as a bundle, and time a bundle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distillation.bundle.onnx_graphs import PAIR_GRAPH, TEXT_GRAPH, write_graphs
from distillation.bundle.precision import Precision, apply_precision
from distillation.recipe.recipe import Sizes
from distillation.student.bilstm import BertBiLSTM, round_to_float16
from relevance_model.bundle import MODEL_CARD, TOKENIZER, Bundle, BundleManifest, Calibration, Graphs, write_bundle
from relevance_model.pairs import Pairs
from relevance_model.scorer import Scorer

LABELS: Final = ("irrelevant", "relevant")
# The largest difference allowed between a bundle's logit and that of the network with embeddings rounded to float16.
TOLERANCES: Final[dict[Precision, float]] = {"float32": 1e-4, "float16": 0.02, "int8": 0.5}
_CALL_ROWS: Final = 2048

Floats = npt.NDArray[np.float32]


def draft_manifest(
    sizes: Sizes,
    *,
    name: str,
    version: str,
    threshold: float = 0.5,
    calibration: tuple[float, float] = (1.0, 0.0),
    metrics: dict[str, Any] | None = None,
    lineage: dict[str, Any] | None = None,
) -> BundleManifest:
    """Return a student's manifest without checksums; `write_bundle` adds them."""
    slope, intercept = calibration
    return BundleManifest(
        name=name,
        version=version,
        labels=LABELS,
        threshold=threshold,
        calibration=Calibration(slope=slope, intercept=intercept),
        max_query_tokens=sizes.max_query_tokens,
        max_title_tokens=sizes.max_title_tokens,
        graphs=Graphs(query=TEXT_GRAPH, title=TEXT_GRAPH, pair=PAIR_GRAPH),
        metrics=metrics or {},
        lineage=lineage or {},
    )


def write_student(
    model: BertBiLSTM,
    tokenizer: Tokenizer,
    folder: Path,
    manifest: BundleManifest,
    *,
    precision: Precision,
    card: str = "# A student for measurements\n",
    files: Mapping[str, str] | None = None,
) -> Bundle:
    """Write the bundle to `folder`, replacing it: it is assembled in a scratch folder, then renamed.

    `files` are further texts of the bundle, by name. The embedding table of `model` is rounded to float16 in place, as
    the graphs store it.
    """
    round_to_float16(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        write_graphs(
            model, draft, max_query_tokens=manifest.max_query_tokens, max_title_tokens=manifest.max_title_tokens
        )
        for graph in sorted(draft.glob("*.onnx")):
            apply_precision(graph, precision)
        tokenizer.save(str(draft / TOKENIZER), pretty=False)
        (draft / MODEL_CARD).write_text(card, encoding="utf-8")
        for name, text in (files or {}).items():
            (draft / name).write_text(text, encoding="utf-8")
        write_bundle(draft, manifest)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    return Bundle.load(folder)


def microseconds_per_pair(bundle: Bundle, queries: Sequence[str], titles: Sequence[str]) -> float:
    """Return the time per pair in bulk, in one thread, tokenisation included, starting with an empty cache.

    Pairs of one title are scored together, as the Spark job sends them.
    """
    rows = sorted(range(len(queries)), key=lambda row: (titles[row], queries[row]))
    scorer = Scorer(bundle, threads=1)
    calls = []
    for start in range(0, len(rows), _CALL_ROWS):
        part = rows[start : start + _CALL_ROWS]
        of_query = {text: i for i, text in enumerate(dict.fromkeys(queries[row] for row in part))}
        of_title = {text: i for i, text in enumerate(dict.fromkeys(titles[row] for row in part))}
        index_q, index_t = [of_query[queries[row]] for row in part], [of_title[titles[row]] for row in part]
        calls.append(Pairs.from_columns(list(of_query), list(of_title), index_q, index_t))
    started = perf_counter()
    for call in calls:
        scorer.score(call)
    return (perf_counter() - started) / max(1, len(rows)) * 1e6
