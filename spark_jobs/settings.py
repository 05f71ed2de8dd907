"""Settings of `qtr label`; each field is a flag, a `QTR_…` variable and a default."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from grpc_client.settings import ClientSettings
from qtr_runtime.resources import available_cpus
from spark_jobs.input.options import InputFormat, InputOptions
from spark_jobs.lifecycle.schedule import scheduled_date
from spark_jobs.quality import gates

JUDGED_RELEVANT = ("1", "1.0", "yes", "y", "true", "relevant")
"""Judged labels that mean a relevant pair; case does not matter."""


def _run_date(given: dict[str, Any]) -> date:
    now = datetime.now(UTC)
    return scheduled_date(given.get("scheduled_job") or "", now) or now.date()


class LabelSettings(ClientSettings):
    """Labels every (query, title) row of the input and publishes the labels as one partition of Parquet files."""

    prog: ClassVar[str] = "qtr label"

    input: list[str] = Field(
        min_length=1,
        description="File, folder or glob to read, or a table of Spark's catalog; repeat the flag for more.",
    )
    input_format: InputFormat = Field(
        default="auto", description="Format of the input's files; auto goes by their names' extensions."
    )
    delimiter: str | None = Field(
        default=None,
        description="What separates the fields of CSV files: one character, or tab; a comma if absent, a tab in files "
        "named .tsv or .tab.",
    )
    encoding: str = Field(
        default="UTF-8", min_length=1, description="Encoding of CSV and JSON files, such as UTF-16 or windows-1252."
    )
    output: str = Field(min_length=1, description="Folder of the results: labels go to OUTPUT/labels/run_date=…/.")
    labels: str | None = Field(
        default=None,
        min_length=1,
        description="Table of Spark's catalog (shop.labels), or folder (with a / in it), for the labels, partitioned "
        "by run_date; OUTPUT/labels if absent.",
    )
    store: str | None = Field(
        default=None,
        min_length=1,
        description="Table, or folder (with a / in it), of every pair that was ever scored; these are not scored "
        "again. Outputs may share one. OUTPUT/scores if absent.",
    )
    format: str = Field(
        default="parquet",
        min_length=1,
        description="Format of labels and store: any that Spark has, such as delta or iceberg.",
    )
    compact: bool = Field(
        default=False,
        description="After publishing, rewrite the store's many small files as few; no other run may use it meanwhile.",
    )
    scheduled_job: str | None = Field(
        default=None,
        description="Name of the Kubernetes Job, or of the Spark operator's application, that the run belongs to. If a "
        "schedule made it, the name ends in the scheduled time, and the run's date is that time's day (UTC).",
    )
    run_date: date = Field(
        default_factory=_run_date,
        description="Partition to publish, replaced whole if it exists; if absent the day of --scheduled-job, else "
        "today (UTC).",
    )
    query_column: str = Field(default="query", min_length=1, description="Column that holds the query.")
    title_column: str = Field(default="title", min_length=1, description="Column that holds the title.")
    judged: str | None = Field(
        default=None,
        min_length=1,
        description="Pairs that people judged, columns query, title and label, such as a filled-in file of qtr sample: "
        "the report has precision, recall and ROC AUC of their labels, beside those of the runs before.",
    )
    judged_relevant: list[str] = Field(
        default_factory=lambda: list(JUDGED_RELEVANT),
        description="Label of --judged that means a relevant pair, such as exact; repeat the flag for more. "
        f"{', '.join(JUDGED_RELEVANT)} if absent. All other labels mean an irrelevant one.",
    )
    target: str | None = Field(
        default=None,
        description="A running service, such as localhost:8001, dns:///relevance:8001 or "
        "k8s:///NAMESPACE/SERVICE:PORT; if absent, the run starts servers on this machine and stops them again.",
    )
    servers: int = Field(
        default_factory=available_cpus,
        ge=1,
        le=256,
        description="Servers to start without --target; one per available core if absent.",
    )
    bundle: Path | None = Field(
        default=None, description="Folder of the model bundle for the started servers; the bundled student if absent."
    )
    in_flight: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Upper bound of the calls in flight of one Spark task; the concurrency limit adapts below it. A "
        "higher bound hides latency, and fills the servers' queues.",
    )
    channels: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Channels of each Python worker, each with its own connection. More than one only helps behind a "
        "balancer that spreads connections instead of calls.",
    )
    rows_per_rpc: int = Field(
        default=1024,
        ge=1,
        description="Pairs in one call, at most 512 KiB of text; the server's own limit wins if it is lower.",
    )
    arrow_batch_rows: int = Field(
        default=8192,
        ge=1,
        description="Rows that Spark passes to Python at a time; pairs are sorted and deduplicated within them.",
    )
    partitions: int | None = Field(
        default=None,
        ge=1,
        description="Spark partitions to score in; by default four per core, but none of less "
        "than 1,000 or more than 100,000 rows.",
    )
    executor_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Seconds for which tasks may wait without any executor before the run fails, on a cluster.",
    )
    deadline_seconds: float = Field(default=30.0, gt=0, description="Seconds that one attempt of a call may take.")
    retry_budget_seconds: float = Field(
        default=120.0, gt=0, description="Seconds for which a call is retried before the run fails."
    )
    scale: str | None = Field(
        default=None,
        description="deployment/NAMESPACE/NAME to scale up for the time of the run: the minimum of its autoscaler, or "
        "its own replicas if it has none, are raised and restored at the end.",
    )
    replicas: int | None = Field(default=None, ge=1, description="Replicas that --scale asks for.")
    scale_timeout_seconds: float = Field(
        default=600.0,
        ge=0,
        description="Seconds to wait for the replicas; then the run continues with those that are ready.",
    )
    gate: list[str] = Field(
        default_factory=list,
        description="Bound of a data-quality gate: NAME=BOUND, NAME=warn:BOUND, NAME=fail:BOUND or NAME=off; repeat "
        "the flag for more. Gates: "
        + ", ".join(f"{gate.name} ({gate.level}:{gate.bound:g})" for gate in gates.DEFAULTS)
        + ".",
    )
    explain: int = Field(
        default=0,
        ge=0,
        le=24,
        description="Sample rows of the report to explain by their words, those near the threshold and those with the "
        "highest and lowest scores first. The servers are kept until then, through the join.",
    )
    publish_anyway: bool = Field(default=False, description="Publish even if a gate fails; the report shows the gate.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object per event, or readable text; auto is text on a terminal."
    )
    exit_on_stdin_close: bool = Field(
        default=False,
        description="Stop when standard input closes, so that a run ends with the program that started it.",
    )
    debug: bool = Field(default=False, description="Show Spark's own warnings, and tracebacks instead of one sentence.")

    def input_options(self) -> InputOptions:
        """Return the settings of the input."""
        return InputOptions(
            paths=self.input,
            format=self.input_format,
            query_column=self.query_column,
            title_column=self.title_column,
            delimiter=self.delimiter,
            encoding=self.encoding,
        )

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = "\t" if value in ("tab", "\\t") else value
        if value is not None and (len(value) != 1 or value in '"\r\n\0'):
            raise ValueError(f"expected one character other than a quote or a line end, or tab, not {value!r}")
        return value

    @field_validator("gate")
    @classmethod
    def _readable_gates(cls, value: list[str]) -> list[str]:
        gates.with_changes(value)
        return value

    @field_validator("scale")
    @classmethod
    def _deployment(cls, value: str | None) -> str | None:
        if value is not None:
            from spark_jobs.lifecycle.scale_targets import ScaleTarget

            ScaleTarget.parse(value)
        return value

    @field_validator("run_date", mode="before")
    @classmethod
    def _iso_date(cls, value: object) -> object:
        # pydantic reads numbers as days since 1970, so a mistyped date would become a partition.
        if isinstance(value, str):
            try:
                return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
            except ValueError:
                raise ValueError(f"expected a date such as 2026-11-01, not {value!r}") from None
        return value
