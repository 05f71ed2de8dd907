"""`qtr evaluate`: how good a model is on judged pairs, on the terminal, as numbers and as a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grpc_client.settings import ClientSettings
from qtr.judged_settings import JudgedSettings
from qtr_runtime.settings import USAGE_ERROR
from qtr_runtime.terminal import escape_control

if TYPE_CHECKING:
    from evaluation.judged_file import JudgedPairs
    from evaluation.metrics import Interval
    from evaluation.model_scores import ModelScores
    from evaluation.results import Evaluation

NOT_MET = 1
_NUMBERS = "evaluation.json"
_PAGE = "evaluation.html"
_MISSING = "-"
_BUNDLED = "bundled"


class EvaluateSettings(JudgedSettings, ClientSettings):
    """Measures a model on judged pairs: metrics with intervals, beside shared words and BM25, and a page with charts.

    The intervals are by the bootstrap over queries. With --against, two models are compared on the same pairs; with
    --require, the exit status says whether the comparison is as required: 0 if it is, 1 if it is not.
    """

    prog: ClassVar[str] = "qtr evaluate"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    target: str | None = Field(
        default=None, description="A running server to measure, such as localhost:8001, instead of a bundle."
    )
    against: Path | None = Field(
        default=None, description=f"Folder of another bundle, to compare with; {_BUNDLED} is the bundled student."
    )
    require: Literal["better", "not-worse"] | None = Field(
        default=None,
        description="What --against has to show, or the exit status is 1. better: the interval of the difference is "
        "above 0; not-worse: it is above the negative of --margin.",
    )
    metric: Literal["auc", "average_precision", "precision", "recall", "f1"] = Field(
        default="auc", description="Metric of --require and of the verdict."
    )
    margin: float = Field(default=0.01, ge=0.0, description="How much worse is still not-worse.")
    slice_by: list[str] = Field(
        default=[],
        description="Column of the judged file by whose values to part the rows, such as brand; repeat for more.",
    )
    out: Path = Field(
        default=Path("qtr-evaluation"), description=f"Folder to write {_PAGE} and {_NUMBERS} to; it is made if absent."
    )
    json_output: bool = Field(default=False, alias="json", description="Print the numbers as JSON instead of a table.")
    resamples: int = Field(default=1000, ge=100, description="Resamples of the bootstrap.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Confidence of the intervals.")
    seed: int = Field(default=0, ge=0, description="Seed of every random choice.")
    deadline_seconds: float = Field(
        default=30.0, gt=0, description="Seconds to wait for each answer of --target, retries included."
    )

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        if self.bundle is not None and self.target is not None:
            raise ValueError("--bundle and --target name two models: give one, and the other bundle to --against")
        if self.require is not None and self.against is None:
            raise ValueError("--require needs --against, the bundle to compare with")
        return self


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    settings = EvaluateSettings.parse(sys.argv[1:] if argv is None else argv)
    from evaluation.errors import EvaluationError
    from grpc_client.errors import ClientError
    from relevance_model import ModelError

    try:
        evaluation = _evaluate(settings)
    except (EvaluationError, ModelError, ClientError) as error:
        print(f"qtr evaluate: {error}", file=sys.stderr)
        return USAGE_ERROR
    try:
        page = _write(evaluation, settings)
    except OSError as error:
        print(f"qtr evaluate: --out: {settings.out} cannot be written ({error.strerror})", file=sys.stderr)
        return USAGE_ERROR
    if settings.json_output:
        print(json.dumps(evaluation.as_json()))
    else:
        _print(evaluation, settings, page)
    return _status(evaluation, settings)


def _evaluate(settings: EvaluateSettings) -> Evaluation:
    from evaluation.judged_file import read_judged_file
    from evaluation.results import Options, evaluate

    judged = read_judged_file(settings.judged, settings.columns(tuple(settings.slice_by)))
    model = _scores(judged, settings)
    other = None if str(settings.against) == _BUNDLED else settings.against
    against = None if settings.against is None else _bundle_scores(other, judged)
    options = Options(settings.resamples, settings.confidence, settings.seed)
    return evaluate(str(settings.judged), judged, model, against, options)


def _scores(judged: JudgedPairs, settings: EvaluateSettings) -> ModelScores:
    if settings.target is None:
        return _bundle_scores(settings.bundle, judged)
    from evaluation.model_scores import scores_of_service
    from grpc_client import ClientConfig, RetryPolicy

    config = ClientConfig(
        settings.target,
        deadline_seconds=settings.deadline_seconds,
        retry=RetryPolicy(budget_seconds=settings.deadline_seconds),
        tls=settings.tls_files(),
        token_file=settings.token_file_name(),
    )
    return scores_of_service(config, judged.queries, judged.titles)


def _bundle_scores(path: Path | None, judged: JudgedPairs) -> ModelScores:
    from evaluation.model_scores import scores_of_bundle
    from relevance_model import Bundle, default_bundle_path

    return scores_of_bundle(Bundle.load(path or default_bundle_path()), judged.queries, judged.titles)


def _write(evaluation: Evaluation, settings: EvaluateSettings) -> Path:
    """Write numbers and page, and return the path of the page; each appears whole or not at all."""
    from evaluation.page import page
    from qtr_runtime.files import write_whole

    settings.out.mkdir(parents=True, exist_ok=True)
    write_whole(settings.out / _NUMBERS, json.dumps(evaluation.as_json(), indent=1) + "\n")
    write_whole(settings.out / _PAGE, page(evaluation, settings.metric))
    return settings.out / _PAGE


def _status(evaluation: Evaluation, settings: EvaluateSettings) -> int:
    """Return 0 if the comparison is as required, or if nothing is required."""
    difference = evaluation.difference(settings.metric)
    if settings.require is None or difference is None:
        return 0
    bound = 0.0 if settings.require == "better" else -settings.margin
    if difference.low > bound:
        return 0
    print(
        f"qtr evaluate: --require {settings.require}: not shown: the difference in {settings.metric} may be as low as "
        f"{difference.low:+.4f}, required is more than {bound:+.4g}",
        file=sys.stderr,
    )
    return NOT_MET


def _print(evaluation: Evaluation, settings: EvaluateSettings, page: Path) -> None:
    from evaluation.measures import METRICS
    from evaluation.page import summary
    from evaluation.results import AGAINST, MODEL

    console = Console()
    console.print(Text(escape_control(f"{settings.judged}: {summary(evaluation)}")), soft_wrap=True)
    left_out = {
        "without a label": evaluation.judged.unjudged,
        "with an unreadable text": evaluation.judged.unreadable,
        **{f"without a score ({reason})": count for reason, count in evaluation.unscored.items()},
    }
    for what, count in left_out.items():
        if count:
            console.print(
                Text(escape_control(f"{count:,} {'row' if count == 1 else 'rows'} {what}: left out")), soft_wrap=True
            )
    table = Table()
    table.add_column("metric")
    names = evaluation.table.scorers
    for name in names:
        table.add_column(Text(escape_control(evaluation.title(name))), justify="right", overflow="fold")
        if name == AGAINST:
            table.add_column("difference", justify="right")
    for metric, title in METRICS.items():
        cells: list[Text] = []
        for name in names:
            cells.append(_cell(evaluation.table.interval(name, metric), bold=name == MODEL))
            if name == AGAINST:
                cells.append(_cell(evaluation.difference(metric), sign="+"))
        if any(cell.plain != _MISSING for cell in cells):
            table.add_row(title, *cells)
    console.print(table)
    threshold, value = evaluation.best_f1()
    console.print(
        f"threshold {evaluation.model.threshold:.3f}; the highest F1 on these rows, {value:.3f}, is at {threshold:.3f}"
    )
    if evaluation.against is not None:
        console.print(f"by {METRICS[settings.metric]}: {evaluation.verdict(settings.metric)}")
    console.print(Text(escape_control(f"page {page}"), style="dim"), soft_wrap=True)


def _cell(interval: Interval | None, *, sign: str = "", bold: bool = False) -> Text:
    """Return a value with its interval below it."""
    if interval is None or interval.value != interval.value:  # NaN
        return Text(_MISSING)
    cell = Text(f"{interval.value:{sign}.3f}", style="bold" if bold else "")
    return cell.append(f"\n{interval.low:{sign}.3f} {interval.high:{sign}.3f}", style="dim not bold")
