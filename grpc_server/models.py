"""The model versions that are served: one that answers by default, and others that requests may ask for by name."""

from __future__ import annotations

from grpc_server.errors import ModelNotServedError
from relevance_model import Scorer


class ServedModels:
    """Scorers by name and version; the one added last answers requests that ask for none."""

    def __init__(self, first: Scorer) -> None:
        self._scorers = [first]

    @property
    def current(self) -> Scorer:
        """The scorer that answers by default."""
        return self._scorers[-1]

    def find(self, name: str = "", version: str = "") -> Scorer:
        """Return the newest scorer of that name and version; an empty word stands for any.

        Raises
        ------
        ModelNotServedError
            If there is none.
        """
        for scorer in reversed(self._scorers):
            manifest = scorer.bundle.manifest
            if name in {"", manifest.name} and version in {"", manifest.version}:
                return scorer
        served = ", ".join(f"{s.bundle.manifest.name} {s.bundle.manifest.version}" for s in self._scorers)
        raise ModelNotServedError(f"model {name or '(any)'} {version or '(any)'} is not served here; served: {served}")
