"""Explanations of scores: the parts of a pair are scored through the queue, in the bulk lane, like any pairs.

So an explanation is charged like the pairs that it takes, is split into pieces that let interactive calls pass, ends
with its deadline, and is refused when the lane is full. A bound on the explanations at a time keeps the lane for bulk
calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from grpc_server.core.engine import Engine
from grpc_server.core.results import Result
from grpc_server.core.work import Lane
from grpc_server.errors import ExplanationsFullError
from relevance_model import Explainer, Explanation, Pairs, Scorer, baseline_of, baseline_pairs

# About what one explanation takes on a busy server.
_RETRY_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, and the result of scoring its pairs: model and times, with logits for scores."""

    explanation: Explanation
    result: Result


class Explanations:
    """Explains scores of the served models.

    Parameters
    ----------
    engine
        Scores the pairs.
    max_at_once
        Explanations at a time; 0 offers none.
    max_cost
        Bound on the pairs of one, see `relevance_model.Explainer`.

    Attributes
    ----------
    running
        Explanations that are being computed.
    """

    def __init__(self, engine: Engine, *, max_at_once: int, max_cost: int) -> None:
        self._engine = engine
        self._max_at_once = max_at_once
        self._max_cost = max_cost
        self._explainers: WeakKeyDictionary[Scorer, Explainer] = WeakKeyDictionary()
        self.running = 0

    async def explain(
        self, query: str, title: str, *, scorer: Scorer, deadline: float | None, request_id: str
    ) -> Explained:
        """Return the contributions of the words of a pair; parameters and errors are those of `Engine.score`.

        Raises
        ------
        NotImplementedError
            If no explanations are offered.
        ExplanationsFullError
            If too many are being computed.
        RequestError
            If the pair has no score.
        """
        if not self._max_at_once:
            raise NotImplementedError
        if self.running >= self._max_at_once:
            raise ExplanationsFullError(
                f"{self.running} explanations are being computed, which is the limit", _RETRY_SECONDS
            )
        until = None if deadline is None else monotonic() + deadline
        self.running += 1
        try:
            explainer = self._explainer(scorer)
            plan = explainer.plan(query, title)
            if explainer.baseline is None:
                logits = await self._score(explainer, baseline_pairs(), until, request_id)
                explainer.baseline = baseline_of(logits.scores)
            result = await self._score(explainer, plan.pairs, until, request_id)
            return Explained(plan.explanation(result.scores, result.row_errors, explainer.baseline), result)
        finally:
            self.running -= 1

    def _explainer(self, scorer: Scorer) -> Explainer:
        explainer = self._explainers.get(scorer)
        if explainer is None:
            explainer = self._explainers[scorer] = Explainer(scorer, max_cost=self._max_cost)
        return explainer

    async def _score(self, explainer: Explainer, pairs: Pairs, until: float | None, request_id: str) -> Result:
        deadline = None if until is None else until - monotonic()
        return await self._engine.score(
            pairs, scorer=explainer.logits, lane=Lane.BULK, deadline=deadline, request_id=request_id
        )
