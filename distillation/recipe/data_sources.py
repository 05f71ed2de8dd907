"""The data section of a recipe: files, their formats and columns, and the values of labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A section of the recipe: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableFormat(Section):
    """The separator of a text table."""

    separator: Literal[",", "\t", ";", "|"] | None = Field(
        default=None,
        description="Separator of fields; by default a comma in .csv (with quoting), a tab in .tsv and .txt.",
    )


class Labels(Section):
    """The values of labels: the probability of relevance that stands for each, and its gain in NDCG."""

    labels: dict[str, Share] = Field(
        default={}, description="Label to probability of relevance; 0.5 and above counts as relevant."
    )
    gains: dict[str, float] = Field(
        default={}, description="Label to gain in NDCG; by default its probability of relevance."
    )
    ignore: tuple[str, ...] = Field(default=(), description="Labels whose rows are left out.")

    @model_validator(mode="after")
    def _gains_have_labels(self) -> Labels:
        unknown = sorted(set(self.gains) - set(self.labels))
        if unknown:
            raise ValueError(f"gains has the label {unknown[0]!r}, which labels has not")
        return self


class TableJudgements(Labels, TableFormat):
    """Judged pairs in a CSV, TSV or Parquet file, by the names of its columns."""

    format: Literal["table"]
    path: str = Field(min_length=1)
    query: str = "query"
    title: str = "title"
    label: str = "label"
    split: str | None = Field(default=None, description="Column of train and test; without it, folds are drawn.")


class WandsJudgements(Labels):
    """The folder of WANDS with `product.csv`, `query.csv` and `label.csv`, tab-separated."""

    format: Literal["wands"]
    path: str = Field(min_length=1)
    labels: dict[str, Share] = {"Exact": 0.95, "Partial": 0.4, "Irrelevant": 0.03}
    gains: dict[str, float] = {"Exact": 1.0, "Partial": 0.5, "Irrelevant": 0.0}


class EsciJudgements(Labels):
    """The Shopping Queries data set: two Parquet files, the examples and the products.

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


class Data(Section):
    """The files to read, and the number of rows to take. Paths are relative to the data folder."""

    judged: list[Judgements] = Field(min_length=1, description="Judged pairs.")
    titles: list[TextSource] = Field(default=[], description="Further titles, besides those of the judgements.")
    queries: list[TextSource] = Field(default=[], description="Unjudged queries.")
    pairs: list[PairSource] = Field(default=[], description="Unlabelled pairs of a log.")
    weak: list[WeakSource] = Field(default=[], description="Weakly labelled pairs.")
    judged_rows: int = Field(default=40_000, ge=20, description="Limit of judged rows; whole queries are drawn.")
    title_rows: int = Field(default=200_000, ge=1, description="Limit of titles.")
    pair_rows: int = Field(default=500_000, ge=0, description="Limit of unlabelled pairs.")
    weak_rows: int = Field(default=200_000, ge=0, description="Limit of weakly labelled pairs.")
