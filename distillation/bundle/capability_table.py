"""Behaviour of a student by capability, beside that of baselines: the numbers for the report, the table for the card.

Only step `evaluate` reads the rows (see `evaluation.capabilities`): no model is trained on them, and neither the
student nor its threshold is fitted to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.recipe.recipe import Recipe
from evaluation.baselines import token_overlap
from evaluation.capabilities import (
    Comparison,
    Triple,
    compare,
    compare_model,
    default_capabilities_path,
    pairs_of,
    read_triples,
)
from relevance_model.bundle import Bundle, file_sha256
from relevance_model.scorer import Scorer

SHIPPED: Final = "student as shipped"
_TEXT: Final = """\
{rows:,} rows of {capabilities} capabilities, `{file}`, SHA-256
`{sha256}`.
Each has a query, a title that is relevant to it, and one that is not, because of one thing. The cells have two shares
of the rows: *in order* (the relevant title has the higher score) and, after the slash, *both right* (the relevant title
is labelled relevant, the other one irrelevant). Worst capability first. A capability with 20 rows or fewer: differences
below 0.2 may be chance.

No model was trained on the rows, and the student's threshold was not fitted to them. Token overlap and encoder cosine
have the threshold that gets most of these rows right, which favours them. `qtr check --failures 50` lists rows that
fail. After CheckList (Ribeiro et al., 2020)."""


def capabilities_path(recipe: Recipe, data: Path) -> Path:
    """Return the table that the recipe names, in the data folder, or the one that ships."""
    named = recipe.evaluation.capabilities
    return default_capabilities_path() if named is None else data / named


def read_capabilities(recipe: Recipe, data: Path) -> list[Triple]:
    """Return the rows of the recipe's table.

    Raises
    ------
    DataError
        If it cannot be read, or a row is not as required.
    """
    return read_triples(capabilities_path(recipe, data))


def capability_report(
    path: Path, triples: Sequence[Triple], bundle: Bundle, encoder: SentenceEmbeddings
) -> dict[str, Any]:
    """Measure a bundle, token overlap and the encoder's cosine; return the numbers by scorer, as JSON has them.

    Parameters
    ----------
    path
        The table, for its name and checksum.
    triples
        Its rows.
    bundle
        The student with the threshold and calibration that ship.
    encoder
        The frozen encoder.
    """
    queries = [triple.query for triple in triples]
    better, worse = [triple.better for triple in triples], [triple.worse for triple in triples]
    shipped = Scorer(bundle).score_texts(*pairs_of(triples))
    compared = {
        "token overlap": _at_best_threshold(triples, token_overlap(queries, better), token_overlap(queries, worse)),
        "encoder cosine": _at_best_threshold(triples, encoder.cosine(queries, better), encoder.cosine(queries, worse)),
        SHIPPED: compare_model(triples, shipped.scores, bundle.manifest.threshold),
    }
    return {
        "file": path.name,
        "sha256": file_sha256(path),
        "rows": len(triples),
        "scorers": {
            scorer: {
                "threshold": comparison.threshold,
                "all": asdict(comparison.total()),
                "by_capability": {name: asdict(shares) for name, shares in comparison.by_capability().items()},
            }
            for scorer, comparison in compared.items()
        },
    }


def capability_table(report: dict[str, Any]) -> str:
    """Return what `capability_report` measured as Markdown, the worst capability of the student first."""
    scorers: dict[str, Any] = report["scorers"]
    shipped = scorers[SHIPPED]["by_capability"]
    names = sorted(shipped, key=lambda name: (shipped[name]["both_right"], shipped[name]["in_order"]))
    text = _TEXT.format(capabilities=len(names), **{key: report[key] for key in ("rows", "file", "sha256")})
    order = [SHIPPED, *(scorer for scorer in scorers if scorer != SHIPPED)]
    lines = ["| capability | rows | " + " | ".join(order) + " |", "|---|---:|" + "---:|" * len(order)]
    for name in names:
        of_it = [scorers[scorer]["by_capability"][name] for scorer in order]
        lines.append(f"| {_cell(name)} | {of_it[0]['rows']} | " + " | ".join(map(_shares, of_it)) + " |")
    totals = [scorers[scorer]["all"] for scorer in order]
    lines.append(f"| **all** | {report['rows']:,} | " + " | ".join(f"**{_shares(total)}**" for total in totals) + " |")
    return text + "\n\n" + "\n".join(lines)


def _at_best_threshold(triples: Sequence[Triple], better: Any, worse: Any) -> Comparison:
    """Compare with the threshold that gets both labels right in most rows."""
    above, below = np.asarray(better, dtype=np.float64), np.asarray(worse, dtype=np.float64)
    thresholds = np.unique(above)
    right = [_both_right(above, below, threshold) for threshold in thresholds]
    return compare(triples, above, below, float(thresholds[int(np.argmax(right))]))


def _both_right(better: npt.NDArray[np.float64], worse: npt.NDArray[np.float64], threshold: float) -> int:
    return int(((better >= threshold) & (worse < threshold)).sum())


def _shares(shares: dict[str, float]) -> str:
    return f"{shares['in_order']:.2f} / {shares['both_right']:.2f}"


def _cell(text: str) -> str:
    """Return a text that cannot end its cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|")
