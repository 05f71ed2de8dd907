"""`qtr check`: what a model gets right of a table of capabilities, on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grpc_client.settings import ClientSettings
from qtr_runtime.settings import USAGE_ERROR
from qtr_runtime.terminal import escape_control

if TYPE_CHECKING:
    from evaluation.capabilities import Comparison, Shares
    from evaluation.model_scores import ModelScores


class CheckSettings(ClientSettings):
    """Checks a model by capability: model numbers, sizes, synonyms, accessories, negation, typos and others.

    Each row of the table has a query, a relevant title and an irrelevant one. Printed are the share of rows that are in
    order (the relevant title has the higher score), and of rows whose two labels are right, worst capability first.
    """

    prog: ClassVar[str] = "qtr check"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    target: str | None = Field(
        default=None, description="A running server to check, such as localhost:8001, instead of a bundle."
    )
    capabilities: Path | None = Field(
        default=None,
        description="Table with the columns capability, query, better and worse, separated by tabs; "
        "the one that ships with qtr if absent.",
    )
    failures: int = Field(
        default=0, ge=0, description="Rows to print of those with a wrong label; largest difference of scores first."
    )
    json_output: bool = Field(default=False, alias="json", description="Print one JSON object instead of tables.")
    deadline_seconds: float = Field(default=10.0, gt=0, description="Seconds to wait for a server, retries included.")

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.bundle is not None and self.target is not None:
            raise ValueError("--bundle and --target name two models: give one")
        return self


def main(argv: Sequence[str] | None = None) -> int:
    """Check and print; return the exit status."""
    settings = CheckSettings.parse(sys.argv[1:] if argv is None else argv)
    from evaluation.capabilities import compare_model, default_capabilities_path, pairs_of, read_triples
    from evaluation.errors import EvaluationError
    from grpc_client.errors import ClientError
    from relevance_model import ModelError

    try:
        triples = read_triples(settings.capabilities or default_capabilities_path())
        model = _scores(*pairs_of(triples), settings)
    except (EvaluationError, ModelError, ClientError) as error:
        print(f"qtr check: {error}", file=sys.stderr)
        return USAGE_ERROR
    comparison = compare_model(triples, model.scores, model.threshold)
    failures = [_row(comparison, row) for row in comparison.failures()[: settings.failures]]
    if settings.json_output:
        result = {
            "model_name": model.name,
            "model_version": model.version,
            "threshold": model.threshold,
            **asdict(comparison.total()),
            "by_capability": {name: asdict(shares) for name, shares in comparison.by_capability().items()},
            "failures": failures,
        }
        print(json.dumps(result))
    else:
        _print_tables(model, comparison, failures)
    return 0


def _scores(queries: Sequence[str], titles: Sequence[str], settings: CheckSettings) -> ModelScores:
    from evaluation.model_scores import scores_of_bundle, scores_of_service

    if settings.target is None:
        from relevance_model import Bundle, default_bundle_path

        return scores_of_bundle(Bundle.load(settings.bundle or default_bundle_path()), queries, titles)
    from grpc_client import ClientConfig, RetryPolicy

    config = ClientConfig(
        settings.target,
        deadline_seconds=settings.deadline_seconds,
        retry=RetryPolicy(budget_seconds=settings.deadline_seconds),
        tls=settings.tls_files(),
        token_file=settings.token_file_name(),
    )
    return scores_of_service(config, queries, titles)


def _row(comparison: Comparison, row: int) -> dict[str, Any]:
    """Return a row of the table with its scores, None for a pair without one."""
    scores = {"better_score": comparison.better[row], "worse_score": comparison.worse[row]}
    return asdict(comparison.triples[row]) | {
        name: float(score) if score >= 0.0 else None for name, score in scores.items()
    }


def _print_tables(model: ModelScores, comparison: Comparison, failures: Sequence[dict[str, Any]]) -> None:
    console = Console()
    table = Table("capability")
    for name in ("rows", "in order", "both right"):
        table.add_column(name, justify="right")
    for name, shares in comparison.worst_first():
        table.add_row(Text(escape_control(name)), *_cells(shares))
    table.add_section()
    table.add_row("all", *_cells(comparison.total()), style="bold")
    console.print(table)
    if failures:
        rows = Table("capability", "query")
        rows.add_column("score", justify="right")
        rows.add_column("relevant title, then irrelevant one", overflow="fold")
        for failure in failures:
            names = (Text(escape_control(failure[column])) for column in ("capability", "query"))
            rows.add_row(*names, _score(failure["better_score"]), Text(escape_control(failure["better"])))
            worse = Text(escape_control(failure["worse"]))
            rows.add_row("", "", _score(failure["worse_score"]), worse, end_section=True)
        console.print(rows)
    console.print(Text(escape_control(f"model {model.title}, relevant from {model.threshold:.4f}"), style="dim"))


def _cells(shares: Shares) -> tuple[str, str, str]:
    return f"{shares.rows:,}", f"{shares.in_order:.2f}", f"{shares.both_right:.2f}"


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
