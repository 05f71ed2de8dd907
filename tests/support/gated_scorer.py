"""The real scorer, blocked while a test wants calls to wait."""

from __future__ import annotations

import threading

from relevance_model import Bundle, Pairs, Scorer, Scores


class GatedScorer(Scorer):
    """A scorer that waits while its gate is closed; the gate is open at first."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []

    def score(self, pairs: Pairs) -> Scores:
        self.batches.append(len(pairs))
        self.entered.set()
        assert self.gate.wait()
        return super().score(pairs)


class BreakingScorer(GatedScorer):
    """Fails on any batch that holds the poisonous title, as a bug in a graph would."""

    def score(self, pairs: Pairs) -> Scores:
        if "poison" in pairs.titles:
            raise RuntimeError("secret detail")
        return super().score(pairs)
