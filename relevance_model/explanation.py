"""Why a pair has its score: the contribution of each word of query and title, as Shapley values.

This follows TransSHAP (Kokalj et al., 2021, "BERT meets Shapley"); `relevance_model.shapley` computes the values.

The value of a coalition is the calibrated logit of the pair that is left when the other words are removed. A pair that
lost all words of a side is no pair, and the model cannot read it; its value is the baseline, the mean logit of
unrelated pairs. So the contributions sum to `logit(score) - logit(baseline)`, and the baseline belongs to the model
alone. `python -m benchmarks.faithfulness` compares the contributions with what deleting words does to the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from relevance_model.errors import RequestError
from relevance_model.pairs import Pairs
from relevance_model.scorer import LogitScorer, Scorer
from relevance_model.shapley import Design, Ints, design
from relevance_model.tokenizer import TextTokenizer
from relevance_model.words import Words, words_of

DEFAULT_MAX_COST: Final = 1536
# Query `i` asks for title `i`; all other pairs are unrelated.
_QUERIES: Final = (
    "red shoes",
    "usb c cable 2m",
    "cast iron pan",
    "office chair",
    "wireless headphones",
    "dog food",
    "birthday card",
    "garden hose",
)
_TITLES: Final = (
    "Kestrel red canvas sneakers, size 42",
    "Braided USB-C charging cable, 2 m, grey",
    "Cast iron frying pan, 28 cm, with lid",
    "Office chair with armrests, black",
    "Over-ear wireless headphones with microphone",
    "Dry dog food, chicken and rice, 12 kg",
    "Birthday card with envelope",
    "Garden hose with nozzle, 20 m",
)


@dataclass(frozen=True, slots=True)
class WordContribution:
    """One word.

    Attributes
    ----------
    word
        As it stands in the text.
    contribution
        What it adds to the logit; positive if it speaks for relevance.
    standard_error
        Standard error of `contribution`; 0 if it is exact.
    """

    word: str
    contribution: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The contributions of the words of a pair; they sum to `logit - baseline`.

    Attributes
    ----------
    query, title
        The words that the model reads, in the order of the text.
    unread_query_words, unread_title_words
        Number of words after them.
    logit, baseline
        The pair's calibrated logit, `log(score / (1 - score))`, and that of a pair of which nothing is known.
    label
        Position in the bundle's labels.
    exact
        Whether all coalitions were scored; otherwise the contributions are estimates.
    pairs
        Number of pairs that were scored.
    """

    query: tuple[WordContribution, ...]
    title: tuple[WordContribution, ...]
    unread_query_words: int
    unread_title_words: int
    logit: float
    baseline: float
    label: int
    exact: bool
    pairs: int

    @property
    def score(self) -> float:
        """Return the pair's score."""
        return _sigmoid(self.logit)

    @property
    def baseline_score(self) -> float:
        """Return the score of a pair of which nothing is known."""
        return _sigmoid(self.baseline)


@dataclass(frozen=True, slots=True)
class Plan:
    """The pairs to score for one explanation.

    Attributes
    ----------
    pairs
        One row for each coalition.
    """

    pairs: Pairs
    _query: Words
    _title: Words
    _design: Design
    _threshold: float

    def explanation(self, logits: ArrayLike, errors: dict[int, str], baseline: float) -> Explanation:
        """Return the explanation that follows from the logits of `pairs`.

        Raises
        ------
        RequestError
            If a pair has an error.
        """
        if errors:
            raise RequestError("title", f"a part of the pair cannot be scored: {next(iter(errors.values()))}")
        values = np.asarray(logits, np.float64)
        contributions, standard_errors = self._design.contributions(values, baseline)
        words = [
            WordContribution(word, contribution, standard_error)
            for word, contribution, standard_error in zip(
                self._query.read + self._title.read, contributions.tolist(), standard_errors.tolist(), strict=True
            )
        ]
        # All words of both texts: the largest masks, in the last row.
        logit = float(values[-1])
        return Explanation(
            query=tuple(words[: len(self._query.read)]),
            title=tuple(words[len(self._query.read) :]),
            unread_query_words=self._query.unread,
            unread_title_words=self._title.unread,
            logit=logit,
            baseline=baseline,
            label=int(_sigmoid(logit) >= self._threshold),
            exact=self._design.exact,
            pairs=len(self.pairs),
        )


class Explainer:
    """Explains scores of one model.

    Parameters
    ----------
    scorer
        The model.
    max_cost
        Bound on the pairs of an explanation, see `relevance_model.shapley.design`.

    Attributes
    ----------
    logits
        Scores the pairs of a plan.
    baseline
        The model's baseline, once it is known.

    Examples
    --------
    >>> from relevance_model import Bundle
    >>> explainer = Explainer(Scorer(Bundle.default()))
    >>> found = explainer.explain("red shoes", "Red canvas shoes, blue laces")
    >>> max(found.title, key=lambda word: word.contribution).word
    'shoes,'
    """

    def __init__(self, scorer: Scorer, *, max_cost: int = DEFAULT_MAX_COST) -> None:
        self.logits = LogitScorer(scorer)
        self.baseline: float | None = None
        # Not the scorer itself, which may be the key under which an explainer is kept.
        self._query_tokenizer, self._title_tokenizer = scorer.queries.tokenizer, scorer.titles.tokenizer
        self._threshold = scorer.bundle.manifest.threshold
        self._max_cost = max_cost

    def explain(self, query: str, title: str) -> Explanation:
        """Return the contributions of the words of a pair.

        Raises
        ------
        RequestError
            If the pair has no score; `field` is `query` or `title`.
        """
        plan = self.plan(query, title)
        if self.baseline is None:
            self.baseline = baseline_of(self.logits.score(baseline_pairs()).scores)
        result = self.logits.score(plan.pairs)
        return plan.explanation(result.scores, result.errors, self.baseline)

    def plan(self, query: str, title: str) -> Plan:
        """Return the pairs to score for an explanation of this pair.

        Raises
        ------
        RequestError
            If a text cannot be read.
        """
        query_words = _read("query", query, self._query_tokenizer)
        title_words = _read("title", title, self._title_tokenizer)
        seed = int.from_bytes(blake2b(f"{query}\0{title}".encode(), digest_size=8).digest(), "little")
        chosen = design(len(query_words.read), len(title_words.read), max_cost=self._max_cost, seed=seed)
        pairs = Pairs(
            _texts(query_words, chosen.queries),
            _texts(title_words, chosen.titles),
            chosen.query_index,
            chosen.title_index,
        )
        return Plan(pairs, query_words, title_words, chosen, self._threshold)


def baseline_pairs() -> Pairs:
    """Return the unrelated pairs whose mean logit is the baseline."""
    query_index, title_index = np.nonzero(~np.eye(len(_QUERIES), dtype=np.bool_))
    return Pairs(_QUERIES, _TITLES, query_index, title_index)


def baseline_of(logits: ArrayLike) -> float:
    """Return the baseline by the logits of `baseline_pairs`."""
    return float(np.mean(np.asarray(logits, np.float64)))


def _read(field: str, text: str, tokenizer: TextTokenizer) -> Words:
    error = tokenizer.error_of(text)
    words = None if error else words_of(text, tokenizer)
    if words is None or not words.read:
        raise RequestError(field, error or "has no readable character")
    return words


def _texts(words: Words, masks: Ints) -> Sequence[str]:
    return [words.subset(mask) for mask in masks.tolist()]


def _sigmoid(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-logit)))
