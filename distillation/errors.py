"""Errors of `distillation`. Faults of data and calibration are those of `evaluation.errors`.

::

    DistillationError          anything this package raises on purpose
    ├── RecipeError            the recipe cannot be read or is invalid
    ├── StepError              a step's work folder or an earlier step is not as required
    ├── TeacherError           the base encoder is missing or unsuitable
    ├── LabellingError         the Spark job that labels with the teacher failed
    ├── TrainingError          there is nothing to train on
    └── ParityError            an exported graph does not compute what the trained network computes
"""

from __future__ import annotations


class DistillationError(Exception):
    """Base of everything this package raises on purpose; its text is one sentence fit for a user."""


class RecipeError(DistillationError):
    """The recipe cannot be read, or has an unknown field or an invalid value."""


class StepError(DistillationError):
    """A step cannot start: an earlier one has not finished, or the work folder is not usable."""


class TeacherError(DistillationError):
    """The base encoder cannot be loaded."""


class LabellingError(DistillationError):
    """The Spark job that labels with the teacher ended without publishing."""


class TrainingError(DistillationError):
    """There is nothing to train on."""


class ParityError(DistillationError):
    """An exported graph disagrees with the trained network by more than the tolerance."""
