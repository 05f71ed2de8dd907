"""`qtr label`, also `python -P -m spark_jobs.label_pairs` and `spark-submit spark_jobs/label_pairs.py`.

Labels every row of the input and publishes the labels as one partition. Exit status: 0 published; 1 the run failed and
may be started again; 2 the input, a flag or the machine has to be corrected first; 3 a quality gate failed; 4 another
run works on the date; 130 or 143 interrupted. Unless it is 0, nothing was published, except where the message names the
published partition and a later error. Scores are always kept, and not computed again.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and __package__ and not sys.flags.safe_path:
    # With -m, the working folder comes first: a file queue.py there would shadow the standard module.
    sys.path.append(sys.path.pop(0))

import logging
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    # spark-submit runs this file by its path and puts this folder first, where `input` and others would be found as
    # top-level packages.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from qtr_runtime import logs, standard_streams
from qtr_runtime.parent_process import on_stdin_close
from spark_jobs.errors import JobError, SetupError
from spark_jobs.lifecycle.environment import keep_own_permissions, require_descriptors, submitted
from spark_jobs.preflight import check_places
from spark_jobs.settings import LabelSettings

if TYPE_CHECKING:
    from spark_jobs.lifecycle.supervisor import Signals
    from spark_jobs.report.run_report import RunReport

log = logging.getLogger("spark_jobs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run once and return the exit status."""
    standard_streams.make_safe()
    settings = LabelSettings.parse(sys.argv[1:] if argv is None else argv)
    logs.configure(settings.log_format, "INFO")
    try:
        # Before Spark or a server starts, and before reading a pipe that may never end.
        require_descriptors()
        keep_own_permissions()
        check_places(settings)
    except JobError as error:
        return _end(settings, error)
    except OSError as error:
        return _end(settings, SetupError(f"{error.strerror}: {error.filename}"))
    # Spark and gRPC are imported only now, so that --help and a wrong flag are answered at once.
    from spark_jobs.lifecycle.error_translation import to_job_error
    from spark_jobs.lifecycle.supervisor import Signals

    with Signals() as signals:
        if settings.exit_on_stdin_close:
            on_stdin_close(lambda: os.kill(os.getpid(), signal.SIGTERM))
        try:
            # Only this file is submitted: in `qtr label` the variables of spark-submit are those of a program above it,
            # such as a notebook.
            report = _run(settings, signals, submitted=argv is None and not __package__ and submitted())
        except (Exception, KeyboardInterrupt) as caught:
            if settings.debug:
                traceback.print_exception(caught)
            return _end(settings, to_job_error(caught, settings.input))
    if logs.as_json(settings.log_format):
        log.info("run finished", extra=report.event())
    else:
        _show(report)
    logs.flush()
    return 0


def _end(settings: LabelSettings, error: JobError) -> int:
    """Write why the run ended, and return the exit status."""
    if logs.as_json(settings.log_format):
        log.error("run failed", extra={"error": str(error), "exit_code": error.exit_code})
    logs.flush()
    print(f"{settings.prog}: {error}", file=sys.stderr)
    return error.exit_code


def _run(settings: LabelSettings, signals: Signals, *, submitted: bool) -> RunReport:
    begun = time.monotonic()
    if settings.target is None:
        log.info("starting Spark and embedded servers", extra={"servers": settings.servers})
    else:
        log.info("starting Spark", extra={"target": settings.target})
    from spark_jobs.lifecycle.local_servers import LocalServers
    from spark_jobs.lifecycle.scale_up import ScaleUp
    from spark_jobs.lifecycle.session import open_session, require_names, require_target
    from spark_jobs.lifecycle.supervisor import supervised
    from spark_jobs.progress.tracker import Progress
    from spark_jobs.run import LabelRun
    from spark_jobs.spark_compat import context_is_active
    from spark_jobs.storage.run_ids import new_run_id

    with ExitStack() as stack:
        servers = None
        if settings.target is None:
            # The servers load while Spark starts.
            servers = stack.enter_context(LocalServers(settings.servers, settings.bundle))
        run_id = new_run_id()
        # The pods start while Spark starts.
        raised = (
            stack.enter_context(ScaleUp.of(settings.scale, settings.replicas, settings.target, run_id))
            if settings.scale
            else None
        )
        ours = not context_is_active()
        spark = open_session(
            settings.input, arrow_batch_rows=settings.arrow_batch_rows, debug=settings.debug, submitted=submitted
        )
        if ours:
            stack.callback(_unless_gone, spark.stop)
        require_target(spark, settings.target)
        require_names(spark, [*settings.input, settings.output, settings.labels or "", settings.store or ""])
        signals.listen()
        signals.defer()
        if raised is not None:
            raised.wait_until_ready(settings.scale_timeout_seconds, cancelled=lambda: signals.failure() is not None)
        live = not logs.as_json(settings.log_format) and sys.stdout.isatty()
        progress = stack.enter_context(
            Progress(spark, live=live, begun=begun, executor_timeout_seconds=settings.executor_timeout_seconds)
        )
        run = LabelRun(
            spark=spark,
            settings=settings,
            run_id=run_id,
            target=servers.target if servers else lambda: str(settings.target),
            on_scored=servers.stop if servers else raised.restore if raised else lambda: None,
            progress=progress,
        )
        failure_checks = [signals.failure, run.failure, progress.executor_wait.failure]
        failure_checks += [servers.failure] if servers else []

        def cancel() -> None:
            _unless_gone(spark.sparkContext.cancelAllJobs)
            run.cancel()
            if servers is not None:
                servers.stop()  # also ends the wait until they serve

        return supervised(run, failure_checks, cancel, run.published.is_set)


def _show(report: RunReport) -> None:
    """Write the report through the log writer: after the log, and without waiting for a stuck reader."""
    from rich.console import Console

    console = Console()
    with console.capture() as page:
        report.print(console)
    logs.write(page.get())


def _unless_gone(call: Callable[[], object]) -> None:
    """Call into Spark, whose process may have ended first: under spark-submit Ctrl-C reaches both."""
    from py4j.protocol import Py4JError

    with suppress(Py4JError, OSError):
        call()


if __name__ == "__main__":
    raise SystemExit(main())
