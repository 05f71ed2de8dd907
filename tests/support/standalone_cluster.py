"""A Spark standalone cluster on this machine: a real master and real workers, from PySpark's own jars."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyspark

from spark_jobs.lifecycle.java import java_home
from tests.support.job_process import words

ROOT = Path(__file__).resolve().parents[2]
SPARK_HOME = Path(pyspark.__file__).parent


class StandaloneCluster:
    """Starts on entry; its workers have one core each.

    Parameters
    ----------
    folder
        For its files, and no others.
    workers
        How many.
    """

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self._folder = folder
        self._count = workers
        self._daemons: list[_Daemon] = []
        self.master = ""

    def __enter__(self) -> StandaloneCluster:
        common = ["--host", "127.0.0.1", "--webui-port", "0"]
        master = self._start("master.Master", *common, "--port", "0")
        self.master = master.wait_for(r"Starting Spark master at (spark://\S+)")
        limits = ["--cores", "1", "--memory", "1g"]
        for number in range(self._count):
            self._start("worker.Worker", *common, *limits, "-d", str(self._folder / f"work{number}"), self.master)
        for worker in self._daemons[1:]:
            worker.wait_for(r"(Successfully registered with master)")
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self._daemons[::-1]:
            daemon.stop()

    def executors(self) -> list[psutil.Process]:
        """Return the processes that run tasks."""
        children = (child for daemon in self._daemons for child in daemon.process.children())
        return [child for child in children if any("CoarseGrainedExecutorBackend" in word for word in words(child))]

    def submit(self) -> tuple[list[str], dict[str, str]]:
        """Return the command that submits our job, without its flags, and the environment it needs."""
        conf = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.executor.memory": "512m",
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            "spark.sql.shuffle.partitions": "4",
            "spark.ui.enabled": "false",
        }
        command = [str(Path(sys.executable).with_name("spark-submit")), "--master", self.master]
        for key, value in conf.items():
            command += ["--conf", f"{key}={value}"]
        env = _environment() | {"SPARK_CONF_DIR": str(ROOT / "spark_jobs" / "lifecycle" / "conf")}
        return [*command, str(ROOT / "spark_jobs" / "label_pairs.py")], env

    def _start(self, name: str, *flags: str) -> _Daemon:
        self._daemons.append(_Daemon(f"org.apache.spark.deploy.{name}", flags, self._folder))
        return self._daemons[-1]


class _Daemon:
    def __init__(self, name: str, flags: Sequence[str], folder: Path) -> None:
        # Without a SPARK_CONF_DIR Spark's own default speaks; ours is silent.
        env = {key: value for key, value in os.environ.items() if key != "SPARK_CONF_DIR"} | _environment()
        self.process = psutil.Popen(
            [str(SPARK_HOME / "bin" / "spark-class"), name, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=env,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> str:
        found: list[str] = []

        def seen() -> bool:
            found.extend(match[1] for line in self._lines if (match := re.search(pattern, line)))
            return bool(found) or not self._reader.is_alive()

        with self._news:
            assert self._news.wait_for(seen) and found, "".join(self._lines)
        return found[0]

    def stop(self) -> None:
        family = [*self.process.children(recursive=True), self.process]
        for member in family:
            member.terminate()
        for member in psutil.wait_procs(family, timeout=20)[1]:
            member.kill()
        self._reader.join()
        self.process.stderr.close()
        self.process.wait()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def _environment() -> dict[str, str]:
    return {
        "JAVA_HOME": str(java_home()),
        "SPARK_HOME": str(SPARK_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
