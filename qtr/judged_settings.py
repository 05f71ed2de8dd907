"""Settings that the commands on judged pairs share: the file, its columns and the meaning of its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from qtr_runtime.settings import ProgramSettings

if TYPE_CHECKING:
    from evaluation.judged_file import JudgedColumns


class JudgedSettings(ProgramSettings):
    """Base of the settings of commands that read judged pairs."""

    judged: Path = Field(
        description="Judged pairs: a CSV, TSV or Parquet file, a sample that was filled in, or the folder of WANDS or "
        "of the Shopping Queries data set (ESCI)."
    )
    labels: str = Field(
        default="",
        description="What each label means, as a probability of relevance: 'exact=1,partial=0.4,wrong=0'. From 0.5 on "
        "a pair is relevant. Not needed for labels such as 1 and 0 or yes and no.",
    )
    gains: str = Field(
        default="", description="Gain of a label in NDCG; its probability if absent: 'exact=3,partial=1'."
    )
    ignore: str = Field(default="", description="Labels whose rows are left out: 'unsure,offensive'.")
    query_column: str = Field(default="query", description="Column of the query.")
    title_column: str = Field(default="title", description="Column of the title.")
    label_column: str = Field(default="label", description="Column of the label; rows where it is empty are left out.")

    @field_validator("labels", "gains")
    @classmethod
    def _check_numbers(cls, value: str) -> str:
        numbers_by_label(value)
        return value

    @field_validator("labels")
    @classmethod
    def _check_probabilities(cls, value: str) -> str:
        for label, number in numbers_by_label(value).items():
            if not 0.0 <= number <= 1.0:
                raise ValueError(f"{label}={number:g}: expected a probability from 0 to 1")
        return value

    @model_validator(mode="after")
    def _check_gains(self) -> Self:
        unknown = sorted(set(numbers_by_label(self.gains)) - set(numbers_by_label(self.labels)))
        if unknown:
            raise ValueError(f"--gains names the label {unknown[0]!r}, which --labels does not name")
        return self

    def columns(self, kept: tuple[str, ...] = ()) -> JudgedColumns:
        """Return the columns to read, and what their labels mean."""
        from evaluation.judged_file import JudgedColumns

        return JudgedColumns(
            self.query_column,
            self.title_column,
            self.label_column,
            numbers_by_label(self.labels),
            numbers_by_label(self.gains),
            tuple(name.strip() for name in self.ignore.split(",") if name.strip()),
            kept,
        )


def numbers_by_label(value: str) -> dict[str, float]:
    """Return the numbers of a flag such as `exact=1,wrong=0`.

    Raises
    ------
    ValueError
        If a part is no label with a number.

    Examples
    --------
    >>> numbers_by_label("exact=1,partial=0.4")
    {'exact': 1.0, 'partial': 0.4}
    """
    numbers: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        label, sign, number = part.rpartition("=")
        try:
            numbers[label.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"{part!r}: expected LABEL=NUMBER, several of them separated by commas")
    return numbers
