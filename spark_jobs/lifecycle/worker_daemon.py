"""The daemon from which Spark forks its Python workers on this machine, without standard error.

Errors of tasks reach the driver through Spark. What workers write to standard error are tracebacks of connections that
Spark has closed, when a disk is full for example; the run reports the cause in one sentence.
"""

from __future__ import annotations

import os

from pyspark.daemon import manager

if __name__ == "__main__":
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    os.close(devnull)
    manager()
