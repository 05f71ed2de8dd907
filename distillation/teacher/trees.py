"""The teacher's decision trees over word overlap and the frozen encoder's embeddings of a pair.

Gradient boosting (Friedman, 2001) and extremely randomised trees (Geurts et al., 2006). They are fitted in seconds on a
few thousand judgements. Their errors differ from a cross-encoder's, so that an ensemble of both is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier

from distillation.data.lexical_features import overlap_features, vector_features
from distillation.data.word_signals import word_signals
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.recipe.recipe import Trees
from evaluation.baselines import Bm25

Floats = npt.NDArray[np.float32]
_LOGIT_BOUND = 8.0
_LEAST_SHARE = 1e-3
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Computes the features of pairs: overlap [N, 14]; products, distances and cosine of embeddings [N, 2 D + 1].

    With `exact`, the word signals follow the overlap, [N, 55]; with `reader`, the logit that it returns, [N, 1].
    """

    index: Bm25
    vectors: SentenceEmbeddings
    exact: bool = False
    reader: Callable[[Sequence[str], Sequence[str]], Floats] | None = None

    def of(self, queries: Sequence[str], titles: Sequence[str]) -> tuple[Floats, Floats]:
        """Return both sets of features."""
        overlap = overlap_features(queries, titles, self.index)
        if self.exact:
            signals = word_signals(queries, titles, self.index.idf)
            overlap = np.concatenate([overlap, signals], axis=1)
        if self.reader is not None:
            overlap = np.concatenate([overlap, self.reader(queries, titles)[:, np.newaxis]], axis=1)
        return overlap, vector_features(self.vectors.of(queries), self.vectors.of(titles))


class TreesMember:
    """Boosted trees averaged over seeds, and averaged with a forest if the recipe has one.

    Parameters
    ----------
    recipe
        Sizes.
    features
        Computes the features of pairs.
    seed
        Seed of the trees and of the principal components.
    """

    def __init__(self, recipe: Trees, features: PairFeatures, *, seed: int) -> None:
        self._recipe = recipe
        self._features = features
        self._seed = seed
        self._pca: Any = None
        self._models: list[Any] = []
        self._forest: Any = None

    def fit(
        self, queries: Sequence[str], titles: Sequence[str], target: Floats, row_weight: Floats | None = None
    ) -> TreesMember:
        """Fit to probabilities: a row counts as relevant by `target` and as irrelevant by `1 - target`.

        Parameters
        ----------
        queries, titles
            Texts of N pairs.
        target
            Probabilities of relevance, float32 [N].
        row_weight
            Weight of each row, float32 [N]; 1 by default.
        """
        each = np.float32(1.0) if row_weight is None else row_weight
        overlap, vectors = self._features.of(queries, titles)
        components = min(self._recipe.components, len(target) - 1, vectors.shape[1] - 1)
        self._pca = PCA(components, random_state=self._seed).fit(vectors[:, :-1])
        inputs = self._joined(overlap, vectors)
        rows = np.tile(inputs, (2, 1))
        label = np.repeat([1, 0], len(target))
        weight = np.concatenate([target * each, (1.0 - target) * each])
        self._models = [
            HistGradientBoostingClassifier(
                max_iter=self._recipe.iterations,
                learning_rate=self._recipe.learning_rate,
                max_leaf_nodes=self._recipe.leaves,
                min_samples_leaf=20,
                l2_regularization=5.0,
                max_features=0.3,
                early_stopping=False,
                random_state=self._seed + number,
            ).fit(rows, label, sample_weight=weight)
            for number in range(self._recipe.seeds)
        ]
        if self._recipe.forest:
            self._forest = ExtraTreesRegressor(
                self._recipe.forest,
                min_samples_leaf=3,
                max_features=0.3,
                random_state=self._seed,
            ).fit(inputs, target, sample_weight=row_weight)
        return self

    def predict(self, queries: Sequence[str], titles: Sequence[str]) -> Floats:
        """Return logits, float32 [N]."""
        logits = np.zeros(len(queries), dtype=np.float32)
        for start in range(0, len(queries), _BLOCK):
            part = slice(start, start + _BLOCK)
            rows = self._joined(*self._features.of(queries[part], titles[part]))
            logits[part] = np.mean([model.decision_function(rows) for model in self._models], axis=0)
            if self._forest is not None:
                share = np.clip(self._forest.predict(rows), _LEAST_SHARE, 1.0 - _LEAST_SHARE)
                logits[part] = (logits[part] + np.log(share / (1.0 - share))) / 2.0
        return np.clip(logits, -_LOGIT_BOUND, _LOGIT_BOUND)

    def _joined(self, overlap: Floats, vectors: Floats) -> Floats:
        reduced = self._pca.transform(vectors[:, :-1]).astype(np.float32)
        return np.concatenate([overlap, vectors[:, -1:], reduced], axis=1)
