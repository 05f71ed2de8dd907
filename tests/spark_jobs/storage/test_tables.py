"""Names of tables, and tables that are made, checked and replaced partition by partition."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.errors import UsageError
from spark_jobs.storage.tables import Table, _is_temporary, is_table_name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scores", True),
        ("shop.scores", True),
        ("lake.shop.scores", True),
        ("out/scores", False),
        ("./scores", False),
        ("s3a://bucket/scores", False),
        ("a.b.c.d", False),
    ],
)
def test_what_is_a_table_name(text: str, named: bool) -> None:
    assert is_table_name(text) is named
    assert Table(text).plain_files is not named


def test_deltas_catalog_remembers_no_more_than_the_one_behind_it(spark: SparkSession) -> None:
    key = "spark.sql.catalog.spark_catalog"
    spark.conf.set(key, "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    try:
        assert _is_temporary(spark, "spark_catalog.shop.labels")
        spark.conf.set(key, "org.apache.iceberg.spark.SparkSessionCatalog")
        assert not _is_temporary(spark, "spark_catalog.shop.labels")
    finally:
        spark.conf.unset(key)


def test_a_table_that_is_new_is_made(spark: SparkSession) -> None:
    rows = spark.range(3).withColumn("run_date", F.to_date(F.lit("2026-11-01")))
    table = Table("made_labels")
    try:
        table.overwrite_partitions(rows, ("run_date",))
        table.require(spark, "--labels", ["id", "run_date"], ("run_date",))
        with pytest.raises(UsageError, match="partitioned by id alone, not by run_date"):
            table.require(spark, "--labels", ["id", "run_date"], ("id",))
        table.overwrite_partitions(rows.where("id < 2"), ("run_date",))
        assert table.read(spark).count() == 2
    finally:
        spark.sql("DROP TABLE IF EXISTS made_labels")
