"""Errors of the distillation room.

::

    DistillationError          anything this package raises on purpose
    ├── RecipeError            a recipe that cannot be read or is not understood
    ├── DataError              a data file that is missing or malformed
    ├── StepError              a step whose work folder or forerunners are not as it needs them
    ├── TeacherError           the base encoder's weights are not there, or are not of a known kind
    ├── LabellingError         the job that serves the teacher and labels with it failed
    ├── TrainingError          nothing to train on, or a student that learnt nothing worth exporting
    └── ParityError            an exported graph does not compute what the trained network computes
"""

from __future__ import annotations


class DistillationError(Exception):
    """Base of everything this package raises on purpose; its text is one sentence fit for a user."""


class RecipeError(DistillationError):
    """The recipe cannot be read, or holds a field or a value that is not understood."""


class DataError(DistillationError):
    """A data file is missing, lacks a column, or holds values that are not understood."""


class StepError(DistillationError):
    """A step cannot start: an earlier one has not finished, or the work folder is not usable."""


class TeacherError(DistillationError):
    """The base encoder cannot be loaded."""


class LabellingError(DistillationError):
    """The labelling job that serves the teacher ended without publishing."""


class TrainingError(DistillationError):
    """There is nothing to train on, or the student ranks judged pairs backwards, so that no calibration fits it."""


class ParityError(DistillationError):
    """An exported graph disagrees with the trained network by more than the tolerance."""
