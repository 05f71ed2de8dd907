from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevance_model.shapley import TEXT_COST, Design, Floats, design

BASELINE = -1.5
EVERYTHING = 1 << 20


def game(query_words: int, title_words: int, seed: int) -> Floats:
    """Return a random value for each pair of masks; the baseline where a side is empty."""
    table = np.random.default_rng(seed).normal(size=(1 << query_words, 1 << title_words))
    table[0, :] = table[:, 0] = BASELINE
    return table


def values(table: Floats, chosen: Design) -> Floats:
    result: Floats = table[chosen.queries[chosen.query_index], chosen.titles[chosen.title_index]]
    return result


def by_all_orders(table: Floats, query_words: int, title_words: int) -> Floats:
    """Return the Shapley values by their definition."""
    players = query_words + title_words
    total = np.zeros(players)
    for order in permutations(range(players)):
        mask, value = 0, table[0, 0]
        for player in order:
            mask |= 1 << player
            after = table[mask & ((1 << query_words) - 1), mask >> query_words]
            total[player] += after - value
            value = after
    result: Floats = total / factorial(players)
    return result


@pytest.mark.parametrize(("query_words", "title_words"), [(1, 1), (1, 6), (3, 4), (5, 2), (6, 1)])
def test_exact_values_are_those_of_the_definition(query_words: int, title_words: int) -> None:
    table = game(query_words, title_words, seed=1)
    chosen = design(query_words, title_words, max_cost=EVERYTHING, seed=0)
    contributions, errors = chosen.contributions(values(table, chosen), BASELINE)
    assert chosen.exact
    assert not errors.any()
    assert len(chosen.query_index) == ((1 << query_words) - 1) * ((1 << title_words) - 1)
    assert contributions == pytest.approx(by_all_orders(table, query_words, title_words), abs=1e-12)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32), st.sampled_from([0, 500, EVERYTHING]))
def test_contributions_sum_to_the_value_of_all_words_less_that_of_none(
    query_words: int, title_words: int, seed: int, max_cost: int
) -> None:
    table = game(query_words, title_words, seed)
    chosen = design(query_words, title_words, max_cost=max_cost, seed=seed)
    contributions, errors = chosen.contributions(values(table, chosen), BASELINE)
    assert contributions.sum() == pytest.approx(table[-1, -1] - BASELINE, abs=1e-9)
    assert (errors > 0).all() == (not chosen.exact)


@pytest.mark.parametrize(("query_words", "title_words"), [(2, 8), (6, 3), (6, 6)])
def test_sampled_values_are_unbiased_and_their_standard_errors_cover(query_words: int, title_words: int) -> None:
    table = game(query_words, title_words, seed=7)
    whole = design(query_words, title_words, max_cost=EVERYTHING, seed=0)
    exact, _ = whole.contributions(values(table, whole), BASELINE)
    samples, covered = [], []
    for seed in range(200):
        chosen = design(query_words, title_words, max_cost=700, seed=seed)
        assert not chosen.exact
        estimate, errors = chosen.contributions(values(table, chosen), BASELINE)
        samples.append(estimate)
        covered.append(np.abs(estimate - exact) <= 2 * errors)
    spread = np.std(samples, axis=0) / np.sqrt(len(samples))
    assert (np.abs(np.mean(samples, axis=0) - exact) <= 4.5 * spread).all()
    assert np.mean(covered) > 0.9


def test_a_word_that_changes_nothing_contributes_nothing_and_equal_words_the_same() -> None:
    """Only the words at 0 and 1 of the title count, and they are interchangeable."""
    masks = np.arange(1 << 10)
    table = np.tile(((masks & 1) + (masks >> 1 & 1)) ** 2.0, (2, 1))
    table[0, :] = table[:, 0] = 0.0
    exact = design(1, 10, max_cost=EVERYTHING, seed=0)
    contributions, _ = exact.contributions(values(table, exact), 0.0)
    assert contributions[1] == pytest.approx(contributions[2])
    assert contributions[3:] == pytest.approx(np.zeros(8), abs=1e-12)
    sampled = design(1, 10, max_cost=700, seed=3)
    contributions, _ = sampled.contributions(values(table, sampled), 0.0)
    assert contributions[3:] == pytest.approx(np.zeros(8), abs=1e-12)


@pytest.mark.parametrize(("query_words", "title_words"), [(2, 9), (3, 30), (10, 12), (14, 47)])
def test_the_cost_is_bounded_and_the_orders_follow_from_the_seed(query_words: int, title_words: int) -> None:
    chosen, again, other = (design(query_words, title_words, max_cost=3000, seed=seed) for seed in (1, 1, 2))
    assert chosen.titles.tolist() == again.titles.tolist() != other.titles.tolist()
    queries = query_words if query_words > 4 else (1 << query_words) - 1
    eight_orders = 8 * (queries * title_words + TEXT_COST * (query_words + title_words))
    every_subset_of_a_short_text = TEXT_COST * 16
    cost = len(chosen.query_index) + TEXT_COST * (len(chosen.queries) + len(chosen.titles))
    assert cost <= max(3000, eight_orders) + every_subset_of_a_short_text
