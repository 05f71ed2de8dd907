"""The `qtr` command: the first word chooses the program, which is imported only then."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # With -m, the working folder is searched first: a file queue.py there would hide the module of that name.
    sys.path.append(sys.path.pop(0))

import importlib
import os
from collections.abc import Sequence
from typing import NamedTuple


class Program(NamedTuple):
    """A program of `qtr`: the module of its `main(argv) -> int`, the extra that it needs, and a summary."""

    module: str
    extra: str
    summary: str


PROGRAMS = {
    "serve": Program("grpc_server.__main__", "server", "serve a model bundle over gRPC"),
    "label": Program("spark_jobs.label_pairs", "spark", "label (query, title) rows with Spark"),
    "tune": Program("qtr.tune", "server", "find the best settings of serve on this machine"),
    "plan": Program("qtr.plan", "server", "forecast how long a run takes, and how many replicas it needs"),
    "score": Program("qtr.score", "server", "score one query against some titles"),
    "explain": Program("qtr.explain", "server", "say what each word of a pair adds to its score"),
    "check": Program("qtr.check", "server", "check a model on a table of capabilities"),
    "evaluate": Program("qtr.evaluate", "evaluate", "measure a model on pairs that people judged"),
    "sample": Program("qtr.sample", "evaluate", "choose labelled rows for people to judge"),
    "calibrate": Program("qtr.calibrate", "evaluate", "fit scaling and threshold of a bundle to judged pairs"),
    "distill": Program("distillation.__main__", "distill", "train a student and export its bundle"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program named by the first word; return its exit status."""
    if sys.flags.inspect and "PYTHONINSPECT" in os.environ:
        # Python would not exit with the status, but print a traceback of it and, on a terminal, ask for more.
        del os.environ["PYTHONINSPECT"]
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- the command that was given
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        print(_usage())
        return 0 if words else 2
    if words[0] == "--version":
        # This import takes as long as all the rest.
        from importlib.metadata import version

        print(f"qtr {version('qtr-relevance')}")
        return 0
    program = PROGRAMS.get(words[0])
    if program is None:
        print(f"qtr: unknown command {words[0]!r}; there are {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(program.module)
    except ModuleNotFoundError as error:
        print(
            f"qtr {words[0]}: needs {error.name}; in the checkout: pip install -e '.[{program.extra}]'", file=sys.stderr
        )
        return 2
    try:
        status: int = module.main(words[1:])
    except Exception as error:
        from qtr_runtime.own_process import stand_ins_sentence

        if not (sentence := stand_ins_sentence()):
            raise
        print(f"qtr {words[0]}: {sentence} ({type(error).__name__}: {error})", file=sys.stderr)
        return 2
    return status


def _usage() -> str:
    width = max(map(len, PROGRAMS))
    lines = [f"  {name:<{width}}  {program.summary}" for name, program in PROGRAMS.items()]
    return "usage: qtr COMMAND [--help | options]\n\ncommands:\n" + "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
