"""The keys of a pair: a digest that differs for different pairs, whatever characters are where."""

from __future__ import annotations

import hashlib

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.storage.pair_keys import PAIR_KEY, key_columns


def test_keys_keep_the_border_between_query_and_title(spark: SparkSession) -> None:
    texts = [("ab", "c"), ("a", "bc"), ("1:a", "b"), ("", "abc"), ("1", "1:b"), ("é", "a"), ("ab", "c")]
    frame = spark.createDataFrame(texts, "query string, title string")
    rows = frame.select(key_columns(F.col("query"), F.col("title"))[PAIR_KEY].alias("key"), "query", "title").collect()
    for row in rows:
        framed = f"{len(row.query.encode())}:{row.query}{row.title}".encode()
        assert bytes(row.key) == hashlib.sha256(framed).digest()[:16]
    assert len({bytes(row.key) for row in rows}) == 6
