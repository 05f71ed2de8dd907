"""The scores of a model: of a bundle, computed in this process, or of a service that runs elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from relevance_model.bundle import TOKENIZER, Bundle
from relevance_model.explanation import Explainer, Explanation
from relevance_model.scorer import Scorer

if TYPE_CHECKING:
    from grpc_client import ClientConfig

_UNKNOWN: Final = "[UNK]"


@dataclass(frozen=True)
class ModelScores:
    """A model's scores of some pairs.

    Attributes
    ----------
    name, version, sha256
        Of the model.
    threshold
        A pair of this score or more has the label *relevant*.
    scores
        float64 [N]; NaN for the rows in `errors`.
    errors
        Row number to the reason that the row has no score.
    unknown
        Share of each pair's pieces that the model's vocabulary does not have, float64 [N]; `None` if it is not known.
    explain
        Explains the score of a pair; `None` if the model is elsewhere.
    """

    name: str
    version: str
    sha256: str
    threshold: float
    scores: npt.NDArray[np.float64]
    errors: dict[int, str]
    unknown: npt.NDArray[np.float64] | None = None
    explain: Callable[[str, str], Explanation] | None = None

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def predicted(self) -> npt.NDArray[np.int64]:
        """Return the labels, 0 or 1, as the model decides them: in float32, int64 [N]."""
        return (self.scores.astype(np.float32) >= np.float32(self.threshold)).astype(np.int64)

    def take(self, rows: npt.NDArray[np.int64]) -> ModelScores:
        """Return the scores of some rows, all of which have one."""
        unknown = None if self.unknown is None else self.unknown[rows]
        return ModelScores(
            self.name, self.version, self.sha256, self.threshold, self.scores[rows], {}, unknown, self.explain
        )


def scores_of_bundle(bundle: Bundle, queries: Sequence[str], titles: Sequence[str]) -> ModelScores:
    """Score pairs with a bundle."""
    manifest = bundle.manifest
    scorer = Scorer(bundle)
    result = scorer.score_texts(queries, titles)
    return ModelScores(
        manifest.name,
        manifest.version,
        bundle.sha256,
        manifest.threshold,
        result.scores.astype(np.float64),
        result.errors,
        _unknown_shares(bundle, queries, titles),
        Explainer(scorer).explain,
    )


def scores_of_service(config: ClientConfig, queries: Sequence[str], titles: Sequence[str]) -> ModelScores:
    """Score pairs by a service.

    Raises
    ------
    ClientError
        If it gives no answer, or its model changes meanwhile.
    """
    from grpc_client import RelevanceClient

    with RelevanceClient(config) as client:
        info = client.model()
    scores, errors = np.full(len(queries), np.nan), {}
    pinned = replace(config, model=replace(info.ref, sha256=info.sha256))
    rows = min(config.max_rows_per_rpc, info.limits.max_rows)
    with RelevanceClient(pinned) as client:
        for start in range(0, len(queries), rows):
            answer = client.score_batch(queries[start : start + rows], titles[start : start + rows])
            scores[start : start + len(answer.scores)] = answer.scores
            errors.update({start + row: error.reason for row, error in answer.errors.items()})
    return ModelScores(info.ref.name, info.ref.version, info.sha256, info.threshold, scores, errors)


def _unknown_shares(bundle: Bundle, queries: Sequence[str], titles: Sequence[str]) -> npt.NDArray[np.float64] | None:
    tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER))
    unknown = tokenizer.token_to_id(_UNKNOWN)
    if unknown is None:
        return None
    counts: dict[str, tuple[int, int]] = {}
    distinct = list(dict.fromkeys([*queries, *titles]))
    for text, encoding in zip(distinct, tokenizer.encode_batch(distinct, add_special_tokens=False), strict=True):
        counts[text] = encoding.ids.count(unknown), len(encoding.ids)
    pairs = [(counts[query], counts[title]) for query, title in zip(queries, titles, strict=True)]
    return np.array([(q[0] + t[0]) / max(1, q[1] + t[1]) for q, t in pairs])
