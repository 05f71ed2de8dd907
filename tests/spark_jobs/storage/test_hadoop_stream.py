"""A file of a Hadoop file system as a Python stream."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.hadoop_stream import HadoopStream


def test_parts_of_a_file_are_read(spark: SparkSession, tmp_path: Path) -> None:
    file, columns = tmp_path / "a.parquet", {"query": ["usb"], "title": ["USB cable"]}
    pq.write_table(pa.table(columns), file)
    path, fs = HadoopFileSystem(spark)._open(f"file:{file}")
    with io.BufferedReader(HadoopStream(fs.open(path), file.stat().st_size)) as stream:
        assert pq.ParquetFile(stream).read().to_pydict() == columns
        stream.seek(-4, io.SEEK_END)
        assert stream.read() == b"PAR1"
