"""Errors of the model library.

::

    ModelError                 anything this package raises on purpose
    ├── BundleError            a bundle that is missing, altered, or not understood
    └── RequestError           a request that is malformed as a whole (an index out of range, columns that disagree)

A single bad *row* is never an exception: it gets a reason beside its empty score (see `relevance_model.scorer`).
"""

from __future__ import annotations


class ModelError(Exception):
    """Base of everything this package raises on purpose; its text is one sentence fit for a user."""


class BundleError(ModelError):
    """The bundle is missing, incomplete, altered, or of a kind this version does not know."""


class RequestError(ModelError):
    """The request is malformed as a whole; `field` names the offending field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
