"""The served model versions: the current one, and the one before it.

A request may name either. So a caller that pinned the old version can finish its run after a new one was loaded.
"""

from __future__ import annotations

from grpc_server.errors import ModelNotServedError
from relevance_model import BundleError, Pairs, Scorer

_HELD_VERSIONS = 2
_SMOKE_TOLERANCE = 1e-5
_SMOKE_PAIRS = (
    ("red shoes", "Red canvas shoes, size 42"),
    ("usb c cable 2m", "Office chair with armrests, black"),
    ("cast iron pan", "Cast iron frying pan, 28 cm, with lid and two handles, suitable for induction and open fire"),
)


class ModelRegistry:
    """Scorers by name and version; the one added last serves requests that name no model."""

    def __init__(self, first: Scorer) -> None:
        self._scorers = [first]

    @property
    def current(self) -> Scorer:
        """Return the scorer for requests that name no model."""
        return self._scorers[-1]

    def versions(self, name: str) -> list[str]:
        """Return the held versions of that model, the oldest first."""
        manifests = [scorer.bundle.manifest for scorer in self._scorers]
        return [manifest.version for manifest in manifests if manifest.name == name]

    def find(self, name: str = "", version: str = "", sha256: str = "") -> Scorer:
        """Return the newest scorer of that name, version and contents; an empty string matches any.

        Raises
        ------
        ModelNotServedError
            If there is none.
        """
        for scorer in reversed(self._scorers):
            manifest = scorer.bundle.manifest
            named = name in {"", manifest.name} and version in {"", manifest.version}
            if named and sha256 in {"", scorer.bundle.sha256}:
                return scorer
        contents = f" (SHA-256 {sha256[:12]})" if sha256 else ""
        served = ", ".join(
            f"{s.bundle.manifest.name} {s.bundle.manifest.version}" + (f" ({s.bundle.sha256[:12]})" if sha256 else "")
            for s in self._scorers
        )
        raise ModelNotServedError(
            f"model {name or '(any)'} {version or '(any)'}{contents} is not served here; served: {served}"
        )

    def add(self, scorer: Scorer) -> None:
        """Make `scorer` the current one; keep the one before it and drop older ones.

        Work that waits for a dropped scorer still uses it.

        Raises
        ------
        BundleError
            If a held bundle has the same name and version but other contents: answers could not tell the two apart.
        """
        manifest = scorer.bundle.manifest
        for other in self._scorers:
            same = (other.bundle.manifest.name, other.bundle.manifest.version) == (manifest.name, manifest.version)
            if same and other.bundle.sha256 != scorer.bundle.sha256:
                raise BundleError(
                    f"bundle {scorer.bundle.path}: {manifest.name} {manifest.version} is served with other contents; "
                    "a changed model needs a new version"
                )
        kept = [other for other in self._scorers if other.bundle.sha256 != scorer.bundle.sha256]
        self._scorers = [*kept, scorer][-_HELD_VERSIONS:]


def smoke_test(scorer: Scorer) -> None:
    """Score a few pairs, together and alone, before the model serves.

    Texts over the scorer's limit are cut to it: the limit is a setting, not a property of the model.

    Raises
    ------
    BundleError
        If a score is missing, or depends on the other pairs of its batch.
    """
    queries, titles = ([pair[side][: scorer.max_text_bytes] for pair in _SMOKE_PAIRS] for side in (0, 1))
    together = scorer.score(Pairs.from_columns(queries, titles))
    for row, (query, title) in enumerate(zip(queries, titles, strict=True)):
        alone = scorer.score(Pairs.from_columns([query], [title])).scores[0]
        # Negated so that NaN fails.
        if not abs(alone - together.scores[row]) <= _SMOKE_TOLERANCE:
            raise BundleError(
                f"bundle {scorer.bundle.path}: smoke pair {row} scores {together.scores[row]} in a batch and {alone} "
                "alone; the model does not run here or its scores depend on their batch"
            )
