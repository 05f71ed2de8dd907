"""Names of columns that Spark SQL would read in another way."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from spark_jobs.columns import column, quoted, unused_names


@pytest.mark.parametrize("name", ["query", "search.query", "a`b", "`", "the title", "a-b", "ü"])
def test_a_column_of_any_name_is_found(spark: SparkSession, name: str) -> None:
    frame = spark.range(2).toDF(name)
    assert [row[0] for row in frame.select(column(frame, name)).collect()] == [0, 1]
    assert frame.select(quoted(name)).columns == [name]


def test_an_unused_name_is_new_in_any_case() -> None:
    taken = ["query", "__QTR_row_error_0", "__qtr_row_error_1"]
    assert unused_names(taken, ["row_error", "key"]) == {"row_error": "__qtr_row_error_2", "key": "__qtr_key_0"}
