"""What a run tells at its end: counts taken from what was published, never from counters on the way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qtr.terminal import printable


@dataclass(frozen=True)
class LabelledRow:
    """One published row, to look at."""

    query: str
    title: str
    score: float
    label: str


@dataclass(frozen=True)
class RunReport:
    """The outcome of one run.

    Attributes
    ----------
    rows_in, rows_out
        Rows of the input, and rows found in the published partition; always equal.
    distinct_pairs
        Pairs that were scored: duplicates and refused rows need no second call.
    labels
        Label to number of rows.
    errors
        Reason to number of rows, for the rows without a label.
    scoring_s, total_s
        Seconds of the scoring stage, and of the whole run.
    """

    run_id: str
    run_date: date
    model_name: str
    model_version: str
    output: str
    rows_in: int
    rows_out: int
    distinct_pairs: int
    labels: dict[str, int]
    errors: dict[str, int]
    scoring_s: float
    total_s: float
    sample: tuple[LabelledRow, ...] = ()

    def event(self) -> dict[str, object]:
        """Give the report as the fields of a log event: no query and no title in it."""
        event = asdict(self)
        del event["sample"]
        return event | {
            "run_date": self.run_date.isoformat(),
            "scoring_s": round(self.scoring_s, 3),
            "total_s": round(self.total_s, 3),
            "pairs_per_s": round(self.distinct_pairs / self.scoring_s) if self.scoring_s else None,
            "rows_per_s": round(self.rows_out / self.total_s) if self.total_s else None,
        }

    def print(self, console: Console | None = None) -> None:
        """Show the report to a person."""
        console = console or Console()
        facts = Table(show_header=False, box=None, pad_edge=False)
        facts.add_column(style="dim")
        facts.add_column()
        failed = sum(self.errors.values())
        rows = f"{self.rows_out:,} of {self.rows_in:,} published"
        facts.add_row("rows", rows + (f", {failed:,} of them without a label" if failed else ""))
        facts.add_row("distinct pairs", f"{self.distinct_pairs:,}")
        facts.add_row("labels", ", ".join(f"{name} {count:,}" for name, count in sorted(self.labels.items())) or "none")
        for reason, count in sorted(self.errors.items(), key=lambda item: -item[1]):
            facts.add_row("no label", Text(f"{count:,} {'row' if count == 1 else 'rows'}: {reason}"))
        facts.add_row("model", Text(f"{self.model_name} {self.model_version}"))
        if self.scoring_s:
            facts.add_row("scoring", f"{self.scoring_s:.1f} s, {self.distinct_pairs / self.scoring_s:,.0f} pairs/s")
        facts.add_row("whole run", f"{self.total_s:.1f} s, {self.rows_out / self.total_s:,.0f} rows/s")
        facts.add_row("written to", Text(self.output, overflow="fold"))
        console.print(Text(f"labelled {self.run_date}", style="bold"))
        console.print(facts)
        if self.sample:
            console.print(self._sample_table())

    def _sample_table(self) -> Table:
        table = Table(title="a few of the labelled rows", title_justify="left", title_style="dim", expand=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("label", no_wrap=True)
        table.add_column("query", overflow="ellipsis", no_wrap=True, ratio=1)
        table.add_column("title", overflow="ellipsis", no_wrap=True, ratio=2)
        for row in self.sample:
            cells = (Text(row.label), Text(printable(row.query[:200])), Text(printable(row.title[:200])))
            table.add_row(f"{row.score:.4f}", *cells)
        return table
