"""The data section of a recipe: files, their formats and columns, and the values of labels."""

from __future__ import annotations

from pydantic import Field

from evaluation.judgement_sources import Judgements, Labels, Section, TableFormat


class TextSource(TableFormat):
    """Texts: the lines of a text file, or one column of a table."""

    path: str = Field(min_length=1)
    column: str | None = Field(
        default=None, description="Column of a table; without it, every line of the file is a text."
    )


class PairSource(TableFormat):
    """Unlabelled pairs."""

    path: str = Field(min_length=1, description="File, or folder of Parquet files.")
    query: str = "query"
    title: str = "title"


class WeakSource(Labels, TableFormat):
    """Weakly labelled pairs, such as offers of one product, or titles with the names of their categories."""

    path: str = Field(min_length=1)
    query: str = "query"
    title: str = "title"
    label: str | None = Field(default=None, description="Column of the label; without it, every pair is relevant.")
    random_negatives: int = Field(
        default=0, ge=0, description="Irrelevant pairs to add per row: its title with a query of another row."
    )


class Contrast(Section):
    """Contrast pairs to make by rule: a query with a fitting title, and with titles that differ in one thing."""

    made: int = Field(default=0, ge=0, description="Pairs of titles composed of the terms of retail, of all fields.")
    variants: int = Field(
        default=0,
        ge=0,
        description="Pairs of a variant: what a part fits, connector, side, condition, edition, strength.",
    )
    swapped: int = Field(
        default=0,
        ge=0,
        description="Pairs of the listed titles that name a known product, and of their altered copies.",
    )


class Data(Section):
    """The files to read, and the number of rows to take. Paths are relative to the data folder."""

    judged: list[Judgements] = Field(min_length=1, description="Judged pairs.")
    titles: list[TextSource] = Field(default=[], description="Further titles, besides those of the judgements.")
    queries: list[TextSource] = Field(default=[], description="Unjudged queries.")
    pairs: list[PairSource] = Field(default=[], description="Unlabelled pairs of a log.")
    weak: list[WeakSource] = Field(default=[], description="Weakly labelled pairs.")
    contrast: Contrast = Contrast()
    judged_rows: int = Field(default=40_000, ge=20, description="Limit of judged rows; whole queries are drawn.")
    title_rows: int = Field(default=200_000, ge=1, description="Limit of titles.")
    pair_rows: int = Field(default=500_000, ge=0, description="Limit of unlabelled pairs.")
    weak_rows: int = Field(default=200_000, ge=0, description="Limit of weakly labelled pairs, contrast pairs apart.")
