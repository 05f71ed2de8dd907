"""CPU time of each step of a run, and `mapInArrow` compared with `rdd.mapPartitions`, in one Spark session.

python -m benchmarks.nightly_breakdown DATA [--cores 2]

Each step is run after a warm-up, and its result discarded. Its CPU time (Spark's process, Python workers, servers) is
read from the system, less that of the step before. Encoding and inference are measured in the scorer itself; the rest
of the servers' time is transport: network, protobuf and the queue.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from benchmarks.processes import GROUPS, JVM, SERVERS, WORKERS, ProcessTree
from benchmarks.scorer_speed import as_columns
from grpc_client import ClientConfig, RelevanceClient
from qtr_runtime.resources import available_cpus
from relevance_model import Bundle, Scorer
from spark_jobs.lifecycle.local_servers import TITLE_CACHE_SHARE, LocalServers, cache_bytes
from spark_jobs.lifecycle.session import open_session, scoring_partitions
from spark_jobs.scoring.api import score_pairs, score_rows
from spark_jobs.settings import LabelSettings
from spark_jobs.spark_compat import map_in_arrow
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS
from spark_jobs.storage.parquet_scores import ROW

CALL_ROWS = 2048
_SAMPLE = 100_000


class Cost(NamedTuple):
    """Seconds of CPU by group, and of the clock."""

    cpu: dict[str, float]
    wall: float

    def total(self) -> float:
        """CPU seconds of all groups."""
        return sum(self.cpu.values())


def measure(tree: ProcessTree, action: Callable[[], object], runs: int = 2) -> Cost:
    """Run an action `runs` times, and return the cost of the last run."""
    for _ in range(runs):
        tree.sample()
        before, started = tree.samples[-1].cpu, time.monotonic()
        action()
        wall = time.monotonic() - started
        tree.sample()
        cost = Cost({group: tree.samples[-1].cpu.get(group, 0.0) - before.get(group, 0.0) for group in GROUPS}, wall)
    return cost


def discard(frame: DataFrame) -> Callable[[], None]:
    """Return an action that computes a frame and discards it."""
    return lambda: frame.write.format("noop").mode("overwrite").save()


def through(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the columns of Arrow batches that the job keeps."""
    for batch in batches:
        yield batch.select(list(KEYS))


def scorer_cost(pairs: list[tuple[str, str]], servers: int) -> tuple[float, float]:
    """Return the seconds of encoding and of inference, in scorers like those of the servers, used in turn."""
    scorers = [
        Scorer(
            Bundle.default(),
            threads=1,
            cache_bytes=cache_bytes(servers),
            title_cache_share=TITLE_CACHE_SHARE,
        )
        for _ in range(servers)
    ]
    encode, infer = 0.0, 0.0
    for call, start in enumerate(range(0, len(pairs), CALL_ROWS)):
        scores = scorers[call % servers].score(as_columns(pairs[start : start + CALL_ROWS]))
        encode, infer = encode + scores.tokenize_seconds, infer + scores.infer_seconds
    return encode, infer


def stages(tree: ProcessTree, spark: SparkSession, settings: LabelSettings, config: ClientConfig) -> DataFrame:
    """Print the table of steps; return the pairs."""
    with RelevanceClient(config) as client:
        info = client.model()
    frame = spark.read.parquet(*settings.input)
    rows = frame.count()
    partitions = scoring_partitions(spark, settings.partitions, rows)
    input_rows = InputRows(frame, "query", "title", info)
    new = input_rows.new_pairs(None, partitions)
    to = settings.output
    scoring = measure(tree, lambda: score_pairs(new, config, keep=KEYS).write.mode("overwrite").parquet(f"{to}/scored"))
    scores = spark.read.parquet(f"{to}/scored")
    count = scores.count()
    stored = scores.withColumn("run_id", F.lit("x")).select(*ROW.names)
    joined = input_rows.labelled(scores, "x")
    read = measure(tree, discard(frame.select("query", "title"))).total()
    wide = measure(tree, discard(frame)).total()
    load = measure(tree, discard(stored)).total()
    dedupe = measure(tree, discard(new)).total()
    arrow = measure(tree, discard(map_in_arrow(new, through, new.select(*KEYS).schema)))
    write = measure(tree, lambda: stored.write.mode("overwrite").parquet(f"{to}/written")).total()
    join = measure(tree, discard(joined)).total()
    publish = measure(tree, lambda: joined.write.mode("overwrite").parquet(f"{to}/published")).total()
    # A semi-join costs as much as the anti-join, and keeps the rows.
    distinct = input_rows.pairs().repartition(partitions, KEYS[0]).distinct()
    known = distinct.join(scores.select(*KEYS), list(KEYS), "left_semi").sortWithinPartitions(*KEYS)
    anti = measure(tree, discard(known)).total()
    pairs = [(row.query, row.title) for row in new.select("query", "title").collect()]
    encode, infer = scorer_cost(pairs, settings.servers or available_cpus())
    table = {
        "read query and title": read,
        "dedupe: hash, shuffle, distinct, sort": dedupe - read,
        "anti-join, where pairs are known": anti - dedupe,
        "Arrow, there and back": arrow.total() - dedupe,
        "client: encode columns, split, protobuf, gRPC": scoring.cpu[WORKERS] - arrow.cpu[WORKERS],
        "servers: transport and queue": scoring.cpu[SERVERS] - encode - infer,
        "servers: encode": encode,
        "servers: infer": infer,
        "write scores": write - load,
        "join": join - wide - load,
        "write labels": publish - join,
    }
    print(f"{rows:,} rows, {count:,} distinct pairs; µs of CPU per row of the input")
    for name, seconds in table.items():
        print(f"  {name:<38} {seconds / rows * 1e6:7.2f}")
    others = 1 - scoring.cpu[SERVERS] / scoring.total()
    print(f"  scoring step: {rows / scoring.wall:,.0f} rows/s; all but the servers {others:.0%} of its CPU")
    return new


def compare_apis(tree: ProcessTree, pairs: DataFrame, config: ClientConfig) -> None:
    """Compare `mapInArrow` and `rdd.mapPartitions` on the same pairs and servers."""
    pairs = pairs.cache()
    count = pairs.count()
    print(f"{count:,} pairs by both APIs")
    apis = {
        "mapInArrow": discard(score_pairs(pairs, config)),
        "rdd.mapPartitions": lambda: pairs.rdd.map(tuple).mapPartitions(score_rows(config)).count(),
    }
    for name, action in apis.items():
        cost = measure(tree, action)
        own = (cost.cpu[JVM] + cost.cpu[WORKERS]) / count * 1e6
        print(f"  {name:<18} {count / cost.wall:9,.0f} pairs/s; Spark and Python {own:6.2f} µs of CPU a pair")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Parquet files with columns query and title")
    parser.add_argument("--cores", type=int, default=2, help="cores that everything shares")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalServers(arguments.cores) as servers,
        ProcessTree(os.getpid()) as tree,
    ):
        settings = LabelSettings(input=[str(arguments.data)], output=folder)
        spark = open_session(settings.input, arrow_batch_rows=settings.arrow_batch_rows)
        config = ClientConfig(servers.target(), in_flight=settings.in_flight, max_rows_per_rpc=settings.rows_per_rpc)
        pairs = stages(tree, spark, settings, config)
        few = pairs.select("query", "title").limit(_SAMPLE).repartition(2 * arguments.cores)
        compare_apis(tree, few, config)
        spark.stop()


if __name__ == "__main__":
    main()
