"""The teacher's decision trees over word overlap and the frozen encoder's embeddings of a pair.

Gradient boosting (Friedman, 2001) and extremely randomised trees (Geurts et al., 2006). They are fitted in seconds on a
few thousand judgements. Their errors differ from a cross-encoder's, so that an ensemble of both is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier

from distillation.data.lexical_features import overlap_features, vector_features
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.recipe.recipe import Trees
from evaluation.baselines import Bm25

Floats = npt.NDArray[np.float32]
_LOGIT_BOUND = 8.0
_LEAST_SHARE = 1e-3
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Computes the features of pairs: overlap [N, 14]; products, distances and cosine of embeddings [N, 2 D + 1]."""

    index: Bm25
    vectors: SentenceEmbeddings

    def of(self, queries: Sequence[str], titles: Sequence[str]) -> tuple[Floats, Floats]:
        """Return both sets of features."""
        overlap = overlap_features(queries, titles, self.index)
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

    def fit(self, queries: Sequence[str], titles: Sequence[str], target: Floats) -> TreesMember:
        """Fit to probabilities: a row is relevant with weight `target` and irrelevant with weight `1 - target`."""
        overlap, vectors = self._features.of(queries, titles)
        components = min(self._recipe.components, len(target) - 1, vectors.shape[1] - 1)
        self._pca = PCA(components, random_state=self._seed).fit(vectors[:, :-1])
        inputs = self._joined(overlap, vectors)
        rows = np.tile(inputs, (2, 1))
        label = np.repeat([1, 0], len(target))
        weight = np.concatenate([target, 1.0 - target])
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
            ).fit(inputs, target)
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
