"""`qtr sample`: which rows of the published labels people should judge, as a file that they fill in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qtr_runtime.settings import USAGE_ERROR, ProgramSettings
from qtr_runtime.terminal import escape_control

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evaluation.choosing import PairToJudge
    from evaluation.published_labels import PublishedLabels
    from evaluation.sampling import Strata


class SampleSettings(ProgramSettings):
    """Chooses rows of the published labels for people to judge, and writes a CSV file with an empty column label.

    By default the rows are a random sample, stratified by score: qtr evaluate estimates from it precision, recall and
    ROC AUC of the whole table. The most uncertain or the most disputed pairs are better to learn from, but no estimate.
    """

    prog: ClassVar[str] = "qtr sample"

    labels: Path = Field(
        description="Folder labels in the output of qtr label, or Parquet with query, title, score, label."
    )
    run_date: date | None = Field(default=None, description="Date of the run; the newest that is published if absent.")
    rows: int = Field(default=400, ge=1, description="Rows to draw, or pairs to choose.")
    choose: Literal["random", "uncertain", "disputed"] = Field(
        default="random",
        description="random: a sample that stands for the table; uncertain: scores nearest to the threshold; disputed: "
        "labelled otherwise by the bundle --against.",
    )
    against: Path | None = Field(default=None, description="Folder of the other bundle of --choose disputed.")
    candidates: int = Field(
        default=100_000, ge=1, description="Rows, drawn at random, that --against scores to find disputed ones."
    )
    known: Path | None = Field(
        default=None,
        description="Table of earlier judgements, columns query, title and label: its pairs come filled in.",
    )
    out: Path = Field(default=Path("to-judge.csv"), description="File to write; an existing one is never replaced.")
    query_column: str = Field(default="query", description="Column of the query in the labels.")
    title_column: str = Field(default="title", description="Column of the title in the labels.")
    seed: int = Field(default=0, ge=0, description="Seed of every random choice.")

    @model_validator(mode="after")
    def _check_against(self) -> Self:
        if (self.choose == "disputed") != (self.against is not None):
            raise ValueError("--choose disputed and --against, the bundle to compare with, are given together")
        return self


def main(argv: Sequence[str] | None = None) -> int:
    """Choose and write; return the exit status."""
    settings = SampleSettings.parse(sys.argv[1:] if argv is None else argv)
    from evaluation.errors import EvaluationError
    from relevance_model import ModelError

    try:
        pairs, strata, known = _run(settings)
    except (EvaluationError, ModelError) as error:
        print(f"qtr sample: {error}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        print(f"qtr sample: --out: {settings.out} cannot be written ({error.strerror})", file=sys.stderr)
        return USAGE_ERROR
    _print(settings, pairs, strata, known)
    return 0


def _run(settings: SampleSettings) -> tuple[list[PairToJudge], Strata | None, int]:
    """Choose the pairs and write the file; return them, the strata of a random sample, and how many come filled in."""
    from evaluation.errors import DataError
    from evaluation.published_labels import PublishedLabels
    from evaluation.sample_file import write_sample

    if settings.out.exists():
        raise DataError(f"{settings.out} exists, and may hold judgements: give another name to --out")
    earlier = {} if settings.known is None else _judgements(settings.known)
    labels = PublishedLabels(
        settings.labels, settings.run_date, query=settings.query_column, title=settings.title_column
    )
    pairs, strata = _choose(settings, labels)
    rows = [
        (
            pair.query,
            pair.title,
            earlier.get((pair.query, pair.title), ""),
            "" if pair.inclusion_probability is None else repr(float(pair.inclusion_probability)),
            "" if pair.times_drawn is None else pair.times_drawn,
        )
        for pair in pairs
    ]
    write_sample(settings.out, rows)
    return pairs, strata, sum(bool(row[2]) for row in rows)


def _choose(settings: SampleSettings, labels: PublishedLabels) -> tuple[list[PairToJudge], Strata | None]:
    from evaluation.choosing import choose_disputed, choose_uncertain, draw_at_random

    if settings.choose == "random":
        return draw_at_random(labels, settings.rows, seed=settings.seed)
    if settings.choose == "uncertain":
        return choose_uncertain(labels, settings.rows, seed=settings.seed), None
    from relevance_model import Bundle, Scorer

    bundle = Bundle.load(settings.against or "")
    scorer = Scorer(bundle)

    def rescore(queries: list[str], titles: list[str]) -> npt.NDArray[np.float64]:
        return scorer.score_texts(queries, titles).scores.astype("float64")

    chosen = choose_disputed(
        labels,
        settings.rows,
        rescore,
        threshold=bundle.manifest.threshold,
        candidates=settings.candidates,
        seed=settings.seed,
    )
    return chosen, None


def _judgements(path: Path) -> dict[tuple[str, str], str]:
    """Return earlier judgements by pair; rows without one are left out."""
    from evaluation.errors import DataError
    from evaluation.sample_file import INCLUSION_PROBABILITY, unguarded
    from evaluation.tables import column_names, read_table

    if not path.exists():
        raise DataError(f"{path}: no such file")
    columns = read_table(path, ["query", "title", "label"])
    if INCLUSION_PROBABILITY in column_names(path):
        for name in ("query", "title"):
            columns[name] = [unguarded(text) for text in columns[name]]
    rows = zip(columns["query"], columns["title"], columns["label"], strict=True)
    return {(query, title): label.strip() for query, title, label in rows if label.strip()}


def _print(settings: SampleSettings, pairs: list[PairToJudge], strata: Strata | None, known: int) -> None:
    console = Console()
    if strata is not None:
        table = Table("score", title=Text(f"{int(strata.sizes.sum()):,} rows with a score"), title_justify="left")
        for name in ("rows", "drawn"):
            table.add_column(name, justify="right")
        for number in range(len(strata)):
            low, high = strata.edges[number], strata.edges[number + 1]
            table.add_row(f"{low:.3f} to {high:.3f}", f"{strata.sizes[number]:,}", f"{strata.drawn[number]:,}")
        console.print(table)
    filled = f", {known:,} of them filled in from {settings.known}" if known else ""
    next_command = f"qtr evaluate --judged {settings.out}"
    for line, style in (
        (f"{len(pairs):,} pairs to judge in {settings.out}{filled}", ""),
        (f"next: fill in the column label, save as CSV in UTF-8, then {next_command}", "dim"),
    ):
        console.print(Text(escape_control(line), style=style), soft_wrap=True)
