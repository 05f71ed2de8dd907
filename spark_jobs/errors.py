"""The errors of a run, as one tree.

::

    JobError                      its text is one sentence; `exit_code` is the command's exit status
    ├── UsageError          (2)     a flag, a variable or the configuration is wrong
    ├── InputError          (2)     the input is missing, empty, unreadable or lacks a column
    ├── SetupError          (2)     the machine, a permission or the disk prevents the run
    │   └── JavaMissingError (2)    Spark needs Java 17 or later and none was found
    ├── GatesFailedError    (3)     a data-quality gate failed, so nothing was published
    ├── DateTakenError      (4)     another run works on the same date of the same output
    ├── ServerLostError     (1)     an embedded server died, or was too slow to start
    ├── RunFailedError      (1)     scoring or publishing failed
    └── RunInterruptedError (130)   Ctrl-C; or a termination signal (143)

After 1 the same command may succeed if it is started again. After 2 it ends the same way until the input, the command
or the machine is corrected.
"""

from __future__ import annotations


class JobError(Exception):
    """Base of everything that ends a run with one sentence."""

    exit_code = 1


class UsageError(JobError):
    """A flag, a variable or the configuration is wrong."""

    exit_code = 2


class InputError(JobError):
    """The input is missing, empty, unreadable or lacks a column."""

    exit_code = 2


class SetupError(JobError):
    """The machine, a permission, a limit or the disk prevents the run."""

    exit_code = 2


class JavaMissingError(SetupError):
    """Spark needs Java 17 or later and none was found."""


class GatesFailedError(JobError):
    """A data-quality gate failed: all pairs are scored, nothing was published."""

    exit_code = 3


class DateTakenError(JobError):
    """Another run works on the same date of the same output."""

    exit_code = 4


class ServerLostError(JobError):
    """An embedded server died, or was too slow to start."""


class RunFailedError(JobError):
    """Scoring or publishing failed."""


class RunInterruptedError(JobError):
    """The run was interrupted by Ctrl-C or a termination signal.

    Parameters
    ----------
    signal_number
        The signal; the exit status is 128 plus its number, as in shells.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__("the run was interrupted; nothing was published")
        self.exit_code = 128 + signal_number
