"""Errors of `evaluation`.

::

    EvaluationError            anything this package raises on purpose
    ├── DataError              a data file is missing or malformed
    └── CalibrationError       no calibration or threshold fits the judged pairs
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of everything this package raises on purpose; its text is one sentence fit for a user."""


class DataError(EvaluationError):
    """A data file is missing, lacks a column, or has invalid values."""


class CalibrationError(EvaluationError):
    """No calibration or threshold fits the judged pairs."""
