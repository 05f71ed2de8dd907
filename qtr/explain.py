"""`qtr explain`: what each word of a pair adds to its score, on the terminal, as numbers or as a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grpc_client.settings import ClientSettings
from qtr_runtime.files import write_whole
from qtr_runtime.html.components import card, name_values
from qtr_runtime.html.markup import Markup, join, tag
from qtr_runtime.html.page import page
from qtr_runtime.html.words import Word, coloured_text, largest, signed, signed_bars
from qtr_runtime.settings import USAGE_ERROR
from qtr_runtime.terminal import escape_control

if TYPE_CHECKING:
    from grpc_client import WordContribution as RemoteContribution
    from relevance_model import WordContribution

    Contribution: TypeAlias = WordContribution | RemoteContribution

_BAR = 12


class ExplainSettings(ClientSettings):
    """Explains the score of one pair by its words, in this process or by a running server.

    What a word adds is its Shapley value: over all orders in which the words may join, the mean of what it changes in
    the logit of the score. The values of all words sum to the difference between the pair and one of which nothing is
    known.
    """

    prog: ClassVar[str] = "qtr explain"

    query: str = Field(description="The search query.")
    title: str = Field(description="The item title.")
    target: str | None = Field(
        default=None, description="A running server, such as localhost:8001; explains in this process if absent."
    )
    bundle: Path | None = Field(
        default=None, description="Folder of the model bundle, without --target; the bundled student if absent."
    )
    json_output: bool = Field(default=False, alias="json", description="Print one JSON object instead of a table.")
    html: Path | None = Field(default=None, description="File to write a page to.")
    deadline_seconds: float = Field(default=10.0, gt=0, description="Seconds to wait for a server, retries included.")

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.bundle is not None and self.target is not None:
            raise ValueError("--bundle and --target name two models: give one")
        return self


@dataclass(frozen=True, slots=True)
class Explained:
    """What is printed; the fields are those of `relevance.v1.ExplainResponse`."""

    query: list[Word]
    title: list[Word]
    unread_query_words: int
    unread_title_words: int
    score: float
    label: str
    logit: float
    baseline_logit: float
    exact: bool
    pairs: int
    model_name: str
    model_version: str

    @property
    def scale(self) -> float:
        """Return the largest absolute contribution."""
        return largest([*self.query, *self.title])


def main(argv: Sequence[str] | None = None) -> int:
    """Explain, print and write; return the exit status."""
    settings = ExplainSettings.parse(sys.argv[1:] if argv is None else argv)
    if settings.target is not None:
        from grpc_client import ClientError, ConfigError, RequestRejectedError

        failure: type[Exception] = ClientError
        mistakes: tuple[type[Exception], ...] = (ConfigError, RequestRejectedError)
        explain = _explain_remotely
    else:
        from relevance_model import ModelError

        failure, mistakes = ModelError, (ModelError,)
        explain = _explain_here
    try:
        explained = explain(settings)
    except failure as error:
        print(f"qtr explain: {escape_control(str(error))}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, mistakes) else 1
    if settings.html is not None:
        try:
            write_whole(settings.html, _page(explained))
        except OSError as error:
            print(f"qtr explain: --html: {settings.html} cannot be written ({error.strerror})", file=sys.stderr)
            return USAGE_ERROR
    if settings.json_output:
        # ASCII: JSON can escape a lone surrogate, UTF-8 cannot encode it.
        print(json.dumps(asdict(explained)))
    else:
        _print(explained, Console())
    return 0


def _explain_here(settings: ExplainSettings) -> Explained:
    from relevance_model import Bundle, Explainer, Scorer, default_bundle_path

    manifest = (bundle := Bundle.load(settings.bundle or default_bundle_path())).manifest
    found = Explainer(Scorer(bundle, cache_bytes=0)).explain(settings.query, settings.title)
    return Explained(
        query=_words(found.query),
        title=_words(found.title),
        unread_query_words=found.unread_query_words,
        unread_title_words=found.unread_title_words,
        score=found.score,
        label=manifest.labels[found.label],
        logit=found.logit,
        baseline_logit=found.baseline,
        exact=found.exact,
        pairs=found.pairs,
        model_name=manifest.name,
        model_version=manifest.version,
    )


def _explain_remotely(settings: ExplainSettings) -> Explained:
    from grpc_client import ClientConfig, RelevanceClient, RetryPolicy

    config = ClientConfig(
        str(settings.target),
        deadline_seconds=settings.deadline_seconds,
        retry=RetryPolicy(budget_seconds=settings.deadline_seconds),
        tls=settings.tls_files(),
        token_file=settings.token_file_name(),
    )
    with RelevanceClient(config) as client:
        found = client.explain(settings.query, settings.title)
    return Explained(
        query=_words(found.query),
        title=_words(found.title),
        unread_query_words=found.unread_query_words,
        unread_title_words=found.unread_title_words,
        score=found.score,
        label=found.label,
        logit=found.logit,
        baseline_logit=found.baseline_logit,
        exact=found.exact,
        pairs=found.pairs,
        model_name=found.model.name,
        model_version=found.model.version,
    )


def _words(words: Sequence[Contribution]) -> list[Word]:
    return [Word(word.word, word.contribution, word.standard_error) for word in words]


def _print(explained: Explained, console: Console) -> None:
    scale = explained.scale
    for words, unread in _sides(explained).values():
        line = Text(overflow="fold")
        for word in words:
            line.append(escape_control(word.word), _style(word, scale)).append(" ")
        if unread:
            line.append(_unread(unread), "dim italic")
        console.print(line)
    block = "█" if console.encoding.lower().startswith("utf") else "#"
    table = Table()
    table.add_column("")
    table.add_column("word", overflow="fold")
    table.add_column("against", justify="right", min_width=_BAR)
    table.add_column("for", min_width=_BAR)
    table.add_column("adds", justify="right", no_wrap=True)
    for side, (words, _) in _sides(explained).items():
        for place, word in enumerate(words):
            bar = Text(block * round(_BAR * abs(word.contribution) / scale), _style(word, scale))
            left, right = (Text(), bar) if word.contribution >= 0 else (bar, Text())
            table.add_row(Text("" if place else side), Text(escape_control(word.word)), left, right, signed(word))
    console.print(table)
    console.print(Text(_sum(explained), "bold"), soft_wrap=True)
    how = f"{_how(explained)}; model {explained.model_name} {explained.model_version}"
    console.print(Text(escape_control(how), "dim"), soft_wrap=True)


def _sides(explained: Explained) -> dict[str, tuple[list[Word], int]]:
    return {
        "query": (explained.query, explained.unread_query_words),
        "title": (explained.title, explained.unread_title_words),
    }


def _style(word: Word, scale: float) -> str:
    share = abs(word.contribution) / scale
    if share < 0.05:
        return ""
    return ("bold " if share > 0.5 else "") + ("green" if word.contribution > 0 else "red")


def _unread(count: int) -> str:
    return f"… {count} more that the model does not read"


def _sum(explained: Explained) -> str:
    total = Word("", explained.logit - explained.baseline_logit)
    baseline = 1.0 / (1.0 + exp(-explained.baseline_logit))
    start = f"{explained.baseline_logit:.2f}".replace("-", "\u2212")
    return (
        f"Score {explained.score:.3f}, {explained.label}. The words add {signed(total)} to a logit of {start}, "
        f"that of a pair of which nothing is known (score {baseline:.3f})."
    )


def _how(explained: Explained) -> str:
    if explained.exact:
        return f"exact, from all {explained.pairs:,} parts of the pair"
    return f"estimated from {explained.pairs:,} parts of the pair, ± standard error"


def _page(explained: Explained) -> str:
    scale = explained.scale
    texts = [
        tag("div", tag("span", side, class_="note"), coloured_text(words, scale, unread), class_="side")
        for side, (words, unread) in _sides(explained).items()
    ]
    legend = tag(
        "ul",
        tag("li", tag("i", style="background:var(--label-1)"), "speaks for relevance"),
        tag("li", tag("i", style="background:var(--label-0)"), "speaks against it"),
        class_="legend",
    )
    bars = [
        card(f"What the {side} adds", note, signed_bars(words, scale))
        for (side, (words, _)), note in zip(
            _sides(explained).items(),
            (f"{signed(_total(explained.query))} to the logit.", f"{signed(_total(explained.title))} to the logit."),
            strict=True,
        )
    ]
    body = join(
        tag(
            "header",
            tag("p", "Query-title relevance · explanation", class_="eyebrow"),
            tag("div", tag("h1", f"{explained.score:.3f} {explained.label}"), class_="head"),
            tag("p", _sum(explained), class_="lede"),
        ),
        tag(
            "main",
            card("Words", "The stronger the colour, the more a word adds.", *texts, legend, wide=True),
            *bars,
            _facts(explained),
        ),
    )
    return page(f"{explained.score:.3f} {explained.label} · qtr explain", body)


def _facts(explained: Explained) -> Markup:
    return name_values(
        "How",
        "Shapley values over the words; a pair without a word on one side has the baseline's value.",
        {
            "model": f"{explained.model_name} {explained.model_version}",
            "logit": f"{explained.logit:.4f}",
            "baseline logit": f"{explained.baseline_logit:.4f}",
            "values": _how(explained),
        },
    )


def _total(words: Sequence[Word]) -> Word:
    return Word("", sum(word.contribution for word in words))
