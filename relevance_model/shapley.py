"""Shapley values of a game whose players are the words of two texts (Shapley, 1953; for models, Lundberg & Lee, 2017).

A coalition is a pair of subsets, one of the query's words and one of the title's, and the model gives it a value. The
contribution of a word is what it adds to the value, averaged over all orders in which the words may join.

Few words: all subsets of both texts are scored, and the values are exact. Many words: orders are sampled. A sample is
an order of each longer text, and its coalitions are all pairs of a subset of the query and one of the title along these
orders. Over the ways to interleave the two orders the average is exact, and so is that over the subsets of a short
text: only the orders themselves are sampled, which needs fewer coalitions for the same error than orders of all words.
Orders come in antithetic pairs, each with its reverse (Mitchell et al., 2022, "Sampling Permutations for Shapley Value
Estimation"). Pairs are independent, so their spread gives the standard error; as there are few, the variance of a word
is moderated by that of the other words of its text (Smyth, 2004, "Linear Models and Empirical Bayes Methods").

The values of each sample, hence their mean, sum to the value of all words less that of none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A new text costs as much as this many pairs of known texts. Measured on the bundled student: 80 µs and 12 µs.
TEXT_COST: Final = 8
# All subsets of a text of so few words are scored in each sample.
_SHORT_WORDS: Final = 4
# With fewer antithetic pairs, their spread says little about the error.
_MIN_ANTITHETIC: Final = 4
# Degrees of freedom of the mean variance in a text, beside those of a word's own.
_PRIOR_FREEDOM: Final = 4


@dataclass(frozen=True, slots=True)
class Subsets:
    """Subsets of one text's words in each of S samples, and the steps between them.

    Attributes
    ----------
    masks
        int64 [S or 1, M]; one row if all samples have the same.
    sizes
        int64 [M], words of each subset.
    stands
        float64 [M], how many subsets of its size each stands for.
    step_from, step_to
        int64 [K], the subset before and after a word joins.
    step_stands
        float64 [K], how many such steps, of any word, each stands for.
    step_word
        int64 [S or 1, K], the word that joins.
    """

    masks: Ints
    sizes: Ints
    stands: Floats
    step_from: Ints
    step_to: Ints
    step_stands: Floats
    step_word: Ints

    @staticmethod
    def all(words: int) -> Subsets:
        """Return all subsets of `words` words."""
        masks = np.arange(1 << words, dtype=np.int64)
        before, word = np.nonzero((masks[:, None] >> np.arange(words) & 1) == 0)
        return Subsets(
            masks=masks[None],
            sizes=np.array([mask.bit_count() for mask in masks.tolist()], np.int64),
            stands=np.ones(len(masks)),
            step_from=before,
            step_to=before | 1 << word,
            step_stands=np.ones(len(before)),
            step_word=word[None],
        )

    @staticmethod
    def along(orders: Ints) -> Subsets:
        """Return the first words of each order, from none to all; `orders` is int64 [S, words]."""
        samples, words = orders.shape
        sizes = np.arange(words + 1)
        masks = np.zeros((samples, words + 1), np.int64)
        masks[:, 1:] = np.bitwise_or.accumulate(1 << orders, axis=1)
        return Subsets(
            masks=masks,
            sizes=sizes,
            stands=np.array([comb(words, size) for size in sizes.tolist()], np.float64),
            step_from=sizes[:-1],
            step_to=sizes[1:],
            step_stands=np.array([words * comb(words - 1, size) for size in range(words)], np.float64),
            step_word=orders,
        )


@dataclass(frozen=True, slots=True)
class Design:
    """The coalitions of which the values are needed, and how the contributions follow from them.

    Attributes
    ----------
    queries, titles
        int64 [.], the distinct masks, none of them 0.
    query_index, title_index
        int64 [coalitions], positions in them; ordered by title, so that a title's coalitions are scored together.
    exact
        Whether the contributions are exact.
    """

    queries: Ints
    titles: Ints
    query_index: Ints
    title_index: Ints
    exact: bool
    _query_subsets: Subsets
    _title_subsets: Subsets

    def contributions(self, values: Floats, baseline: float) -> tuple[Floats, Floats]:
        """Return the contribution of each word, the query's first, and its standard error.

        Parameters
        ----------
        values
            float64 [coalitions].
        baseline
            The value of a coalition without a word of the query or without one of the title.
        """
        # Row 0 and column 0 are the empty subsets.
        table = np.full((len(self.queries) + 1, len(self.titles) + 1), np.nan)
        table[0, :] = table[:, 0] = baseline
        table[self.query_index + 1, self.title_index + 1] = values
        rows = _places(self._query_subsets.masks, self.queries)
        columns = _places(self._title_subsets.masks, self.titles)
        sampled = table[rows[:, :, None], columns[:, None, :]]
        by_query = _steps(sampled.transpose(0, 2, 1), self._title_subsets, self._query_subsets)
        by_title = _steps(sampled, self._query_subsets, self._title_subsets)
        samples = np.concatenate([by_query, by_title], axis=1)
        if self.exact:
            return samples[0], np.zeros(samples.shape[1])
        antithetic = (samples[0::2] + samples[1::2]) / 2
        variances, freedom = antithetic.var(0, ddof=1), len(antithetic) - 1
        words = by_query.shape[1]
        prior = np.repeat([variances[:words].mean(), variances[words:].mean()], [words, len(variances) - words])
        moderated = (freedom * variances + _PRIOR_FREEDOM * prior) / (freedom + _PRIOR_FREEDOM)
        return antithetic.mean(0), np.sqrt(moderated / len(antithetic))


def design(query_words: int, title_words: int, *, max_cost: int, seed: int) -> Design:
    """Choose the coalitions for a query and a title of at least one word each.

    Parameters
    ----------
    query_words, title_words
        Number of words, up to 62 each.
    max_cost
        Bound on the coalitions, a distinct text counting as `TEXT_COST` of them. A few antithetic pairs of orders are
        sampled in any case.
    seed
        Decides the sampled orders.
    """
    texts, pairs = (1 << query_words) + (1 << title_words), ((1 << query_words) - 1) * ((1 << title_words) - 1)
    if pairs + TEXT_COST * texts <= max_cost or max(query_words, title_words) <= _SHORT_WORDS:
        return _design(Subsets.all(query_words), Subsets.all(title_words), exact=True)
    long_query, long_title = query_words > _SHORT_WORDS, title_words > _SHORT_WORDS
    # Of one order, less the empty subset; the whole text is the same in all.
    queries = query_words - 1 if long_query else 0
    titles = title_words - 1 if long_title else 0
    pairs = (query_words if long_query else (1 << query_words) - 1) * (
        title_words if long_title else (1 << title_words) - 1
    )
    antithetic = max(_MIN_ANTITHETIC, max_cost // (2 * (pairs + TEXT_COST * (queries + titles))))
    rng = np.random.default_rng(seed)

    def subsets(words: int, *, sampled: bool) -> Subsets:
        if not sampled:
            return Subsets.all(words)
        orders = rng.permuted(np.tile(np.arange(words), (antithetic, 1)), axis=1)
        return Subsets.along(np.stack([orders, orders[:, ::-1]], axis=1).reshape(2 * antithetic, words))

    query_subsets = subsets(query_words, sampled=long_query)
    return _design(query_subsets, subsets(title_words, sampled=long_title), exact=False)


def _design(query_subsets: Subsets, title_subsets: Subsets, *, exact: bool) -> Design:
    queries, titles = _distinct(query_subsets.masks), _distinct(title_subsets.masks)
    rows, columns = _places(query_subsets.masks, queries), _places(title_subsets.masks, titles)
    needed = np.zeros((len(titles) + 1, len(queries) + 1), np.bool_)
    needed[columns[:, :, None], rows[:, None, :]] = True
    title_index, query_index = np.nonzero(needed[1:, 1:])
    return Design(queries, titles, query_index, title_index, exact, query_subsets, title_subsets)


def _distinct(masks: Ints) -> Ints:
    return np.unique(masks[masks != 0])


def _places(masks: Ints, distinct: Ints) -> Ints:
    """Return the place of each mask in a table whose first place is the empty subset's."""
    return np.where(masks == 0, 0, np.searchsorted(distinct, masks) + 1)


def _steps(values: Floats, others: Subsets, subsets: Subsets) -> Floats:
    """Return the contributions of one text's words in each sample, float64 [S, words].

    Parameters
    ----------
    values
        float64 [S, subsets of the other text, subsets of this one].
    others
        The subsets of the other text.
    subsets
        The subsets of this one.
    """
    words = int(others.sizes.max() + subsets.sizes.max())
    # The share of all orders in which exactly these words came before: k! (n - k - 1)! / n!
    share = np.array([1.0 / (words * comb(words - 1, size)) for size in range(words)])
    weights = share[others.sizes[:, None] + subsets.sizes[subsets.step_from]]
    weights = weights * others.stands[:, None] * subsets.step_stands
    gains = np.einsum("smk,mk->sk", values[:, :, subsets.step_to] - values[:, :, subsets.step_from], weights)
    result = np.zeros((len(gains), int(subsets.sizes.max())))
    np.add.at(result, (np.arange(len(gains))[:, None], np.broadcast_to(subsets.step_word, gains.shape)), gains)
    return result
