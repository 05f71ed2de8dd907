"""`qtr score`: one query against some titles, on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grpc_client.settings import ClientSettings
from qtr_runtime.settings import USAGE_ERROR
from qtr_runtime.terminal import escape_control


class ScoreSettings(ClientSettings):
    """Scores one query against one or more titles, in this process or by a running server."""

    prog: ClassVar[str] = "qtr score"

    query: str = Field(description="The search query.")
    title: list[str] = Field(min_length=1, description="An item title; repeat the flag for more.")
    target: str | None = Field(
        default=None, description="A running server, such as localhost:8001; scores in this process if absent."
    )
    bundle: Path | None = Field(
        default=None, description="Folder of the model bundle, without --target; the bundled student if absent."
    )
    json_output: bool = Field(default=False, alias="json", description="Print one JSON object instead of a table.")
    deadline_seconds: float = Field(default=10.0, gt=0, description="Seconds to wait for a server, retries included.")


@dataclass(frozen=True, slots=True)
class ScoredTitle:
    """Result for one title: score and label, or the row error."""

    title: str
    score: float | None
    label: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The printed results."""

    query: str
    model_name: str
    model_version: str
    results: list[ScoredTitle]


def main(argv: Sequence[str] | None = None) -> int:
    """Score and print; return the exit status."""
    settings = ScoreSettings.parse(sys.argv[1:] if argv is None else argv)
    if settings.target is not None:
        from grpc_client import ClientError, ConfigError

        failure: type[Exception] = ClientError
        mistake: type[Exception] = ConfigError
        score = _score_remotely
    else:
        from relevance_model import ModelError

        failure = mistake = ModelError
        score = _score_here
    try:
        scored = score(settings)
    except failure as error:
        print(f"qtr score: {error}", file=sys.stderr)
        # A missing bundle or certificate will be missing the next time; a server may answer then.
        return USAGE_ERROR if isinstance(error, mistake) else 1
    if settings.json_output:
        # ASCII: JSON can escape a lone surrogate, UTF-8 cannot encode it.
        print(json.dumps(asdict(scored)))
    else:
        _print_table(scored)
    return 0


def _score_here(settings: ScoreSettings) -> Scored:
    from relevance_model import Bundle, Scorer, default_bundle_path

    bundle = Bundle.load(settings.bundle or default_bundle_path())
    manifest = bundle.manifest
    result = Scorer(bundle, cache_bytes=0).score_texts([settings.query], settings.title, [0] * len(settings.title))
    results = []
    for row, title in enumerate(settings.title):
        error = result.errors.get(row)
        if error is None:
            results.append(ScoredTitle(title, float(result.scores[row]), manifest.labels[result.labels[row]]))
        else:
            results.append(ScoredTitle(title, None, None, error))
    return Scored(settings.query, manifest.name, manifest.version, results)


def _score_remotely(settings: ScoreSettings) -> Scored:
    from grpc_client import ClientConfig, RelevanceClient, RetryPolicy

    config = ClientConfig(
        str(settings.target),
        deadline_seconds=settings.deadline_seconds,
        retry=RetryPolicy(budget_seconds=settings.deadline_seconds),
        priority="interactive",
        tls=settings.tls_files(),
        token_file=settings.token_file_name(),
    )
    with RelevanceClient(config) as client:
        answer = client.score(settings.query, settings.title)
    results = [
        ScoredTitle(title.title, title.score, title.label, title.error.reason if title.error else None)
        for title in answer.titles
    ]
    return Scored(settings.query, answer.model.name, answer.model.version, results)


def _print_table(scored: Scored) -> None:
    table = Table(title=Text(f"“{escape_control(scored.query)}”", style="bold"), title_justify="left")
    table.add_column("score", justify="right")
    table.add_column("label")
    table.add_column("title", overflow="fold")
    for result in sorted(scored.results, key=lambda each: -1.0 if each.score is None else each.score, reverse=True):
        score = "-" if result.score is None else f"{result.score:.4f}"
        label = result.label if result.error is None else result.error
        table.add_row(score, Text(label or ""), Text(escape_control(result.title)))
    console = Console()
    console.print(table)
    console.print(Text(f"model {scored.model_name} {scored.model_version}", style="dim"))
