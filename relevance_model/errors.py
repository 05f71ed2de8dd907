"""Errors of the model library.

::

    ModelError                 base of all errors of this package
    ├── BundleError            a bundle that is missing, altered or unsupported
    └── RequestError           a request that is malformed as a whole (an index out of range, columns that disagree)

A row that cannot be scored is no exception: it gets a row error in place of its score (see `relevance_model.scorer`).
"""

from __future__ import annotations


class ModelError(Exception):
    """Base of all errors of this package; the text is one sentence for a user."""


class BundleError(ModelError):
    """The bundle is missing, incomplete, altered, or not supported by this version."""


class RequestError(ModelError):
    """The request is malformed as a whole; `field` names the offending field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
