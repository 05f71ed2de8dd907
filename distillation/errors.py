"""Errors of the distillation room.

::

    DistillationError          anything this package raises on purpose
    ├── RecipeError            a recipe that cannot be read or is not understood
    ├── DataError              a data file that is missing or malformed
    ├── TeacherError           the teacher's weights are not installed
    ├── TrainingError          a student that learnt nothing worth exporting
    └── ParityError            an exported graph does not compute what the trained network computes
"""

from __future__ import annotations


class DistillationError(Exception):
    """Base of everything this package raises on purpose; its text is one sentence fit for a user."""


class RecipeError(DistillationError):
    """The recipe cannot be read, or holds a field or a value that is not understood."""


class DataError(DistillationError):
    """A data file is missing or does not have the expected columns."""


class TeacherError(DistillationError):
    """The teacher encoder cannot be loaded."""


class TrainingError(DistillationError):
    """The student ranks judged pairs no better than backwards, so that no calibration can stand for it."""


class ParityError(DistillationError):
    """An exported graph disagrees with the trained network by more than the tolerance."""
