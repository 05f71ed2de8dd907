"""Where judgements come from: files, their formats and columns, and the values of labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A section of settings: frozen, and strict about names."""

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
    where: dict[str, tuple[str, ...]] = Field(
        default={}, description="Only rows whose columns have one of these values, such as a locale."
    )


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
