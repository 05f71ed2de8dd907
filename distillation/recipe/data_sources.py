"""The part of a recipe about data: which files, of which form, which columns, and what a label is worth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """A table of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(Part):
    """How a text table is laid out, where its extension does not say it."""

    separator: Literal[",", "\t", ";", "|"] | None = Field(
        default=None, description="Between fields; a comma in .csv (with quoting), a tab in .tsv and .txt if absent."
    )


class Labels(Part):
    """What a label is worth: the probability of relevance that stands for it, and its gain in NDCG."""

    labels: dict[str, Share] = Field(default={}, description="Label to probability; from one half on it is relevant.")
    gains: dict[str, float] = Field(default={}, description="Label to gain in NDCG; the probability if absent.")
    ignore: tuple[str, ...] = Field(default=(), description="Labels whose rows are left out.")

    @model_validator(mode="after")
    def _gains_have_labels(self) -> Labels:
        strangers = sorted(set(self.gains) - set(self.labels))
        if self.gains and strangers:
            raise ValueError(f"gains names the label {strangers[0]!r}, which labels does not")
        return self


class TableJudgements(Labels, Table):
    """Judged pairs in any CSV, TSV or Parquet file, by the names of its columns."""

    format: Literal["table"]
    path: str = Field(min_length=1)
    query: str = "query"
    title: str = "title"
    label: str = "label"
    split: str | None = Field(default=None, description="Column that says train or test; if absent, folds are drawn.")


class WandsJudgements(Labels):
    """The folder of WANDS: `product.csv`, `query.csv` and `label.csv`, tab-separated."""

    format: Literal["wands"]
    path: str = Field(min_length=1)
    labels: dict[str, Share] = {"Exact": 0.95, "Partial": 0.4, "Irrelevant": 0.03}
    gains: dict[str, float] = {"Exact": 1.0, "Partial": 0.5, "Irrelevant": 0.0}


class EsciJudgements(Labels):
    """The Shopping Queries data set: its examples and its products, two Parquet files.

    The default gains are those of its authors (Reddy et al., 2022, arXiv 2206.06588).
    """

    format: Literal["esci"]
    examples: str = "shopping_queries_dataset_examples.parquet"
    products: str = "shopping_queries_dataset_products.parquet"
    locale: str = Field(default="us", description="Only rows of this product_locale.")
    small: bool = Field(default=True, description="Only the reduced version (small_version = 1).")
    labels: dict[str, Share] = {"E": 0.95, "S": 0.4, "C": 0.1, "I": 0.03}
    gains: dict[str, float] = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}


Judgements = Annotated[TableJudgements | WandsJudgements | EsciJudgements, Field(discriminator="format")]


class TextSource(Table):
    """Texts, one a line of a text file, or one column of a table."""

    path: str = Field(min_length=1)
    column: str | None = Field(default=None, description="Column of a table; without it, the file has one text a line.")


class PairSource(Table):
    """Pairs that nobody labelled."""

    path: str = Field(min_length=1, description="File, or folder of Parquet files.")
    query: str = "query"
    title: str = "title"


class WeakSource(Labels, Table):
    """Pairs whose label nobody judged: offers of one product, names of categories."""

    path: str = Field(min_length=1)
    query: str = "query"
    title: str = "title"
    label: str | None = Field(default=None, description="Column of the label; without it every pair is relevant.")
    strangers: int = Field(default=0, ge=0, description="Irrelevant pairs to add per row, by drawing another's query.")


class Data(Part):
    """Where everything is read from, and how much of it. Paths are below the data folder."""

    judged: list[Judgements] = Field(min_length=1, description="Judgements by people.")
    titles: list[TextSource] = Field(default=[], description="Titles; those of the judgements come by themselves.")
    queries: list[TextSource] = Field(default=[], description="Queries that nobody judged.")
    pairs: list[PairSource] = []
    weak: list[WeakSource] = []
    judged_rows: int = Field(default=40_000, ge=20, description="Judged rows at most; drawn by whole queries.")
    title_rows: int = Field(default=200_000, ge=1, description="Titles at most.")
    pair_rows: int = Field(default=500_000, ge=0, description="Unlabelled pairs at most.")
    weak_rows: int = Field(default=200_000, ge=0, description="Weakly labelled pairs at most.")
