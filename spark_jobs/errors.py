"""What can go wrong in a run, as one tree.

::

    JobError                    its text is one sentence; `exit_code` is the command's exit status
    ├── UsageError        (2)   a flag, a variable or the configuration is wrong
    ├── InputError        (2)   the input is missing, empty, unreadable or lacks a column
    ├── SetupError        (2)   the machine, a permission or the disk stands in the way
    │   └── JavaMissingError   (2)   Spark needs Java 17 or later and none was found
    ├── GatesFailedError       (3)   a data-quality gate held the night back
    ├── DateTakenError         (4)   another run works on the same date of the same output
    ├── ServerLostError        (1)   an embedded server died, or was too slow to start
    ├── RunFailedError         (1)   scoring or publishing failed
    └── RunInterruptedError     (130)   somebody pressed Ctrl-C, or the process was asked to end (143)

After 1 the same command may simply be started again: what went wrong may have passed. After 2 it would end the same
way, until somebody has mended the input, the command or the machine.
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
    """The machine, a permission, a limit or the disk stands in the way."""

    exit_code = 2


class JavaMissingError(SetupError):
    """Spark needs Java 17 or later and none was found."""


class GatesFailedError(JobError):
    """A data-quality gate held the night back: everything is scored, nothing was published."""

    exit_code = 3


class DateTakenError(JobError):
    """Another run works on the same date of the same output."""

    exit_code = 4


class ServerLostError(JobError):
    """An embedded server died, or was too slow to start."""


class RunFailedError(JobError):
    """Scoring or publishing failed."""


class RunInterruptedError(JobError):
    """The run was asked to end: Ctrl-C, or a termination signal.

    Parameters
    ----------
    signal_number
        The signal that asked; the exit status is 128 plus this, as shells have it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__("the run was interrupted; nothing was published")
        self.exit_code = 128 + signal_number
