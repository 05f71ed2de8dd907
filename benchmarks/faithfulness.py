"""Whether explanations tell what moves a score: words are deleted by contribution, and by other orders.

python -m benchmarks.faithfulness JUDGED [JUDGED …] [--pairs 300] [--bundle FOLDER] [--json FILE]

Of each pair the words are deleted one after the other, those first that speak most for the label that the pair has; one
word of each side stays. Measured is how far the logit moves away from the label (the deletion curve: Samek et al.,
2017). Beside the contributions stand the change of the logit without each single word (leave one out), and random
orders. Pairs of up to `--exact-words` words are also explained exactly, to measure the error of the sampled
contributions.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np

from benchmarks.page import shown
from benchmarks.results_file import Figure, add_json_flag, write_result
from evaluation.tables import read_table
from relevance_model import Bundle, Explainer, Explanation, Pairs, RequestError, Scorer, default_bundle_path

DELETED = 3
RANDOM_ORDERS = 10
BY_CONTRIBUTION, LEFT_OUT, RANDOM = "by contribution", "by leaving one out", "at random"


class PairScores:
    """Logits of parts of one pair."""

    def __init__(self, explainer: Explainer, found: Explanation) -> None:
        self._score = explainer.logits.score
        self._query = [word.word for word in found.query]
        self._title = [word.word for word in found.title]
        self.words = len(self._query) + len(self._title)

    def without(self, deleted: Sequence[set[int]]) -> np.ndarray:
        """Return the logit without each set of words; the words are numbered through, the query's first."""
        queries = [_rest(self._query, gone, 0) for gone in deleted]
        titles = [_rest(self._title, gone, len(self._query)) for gone in deleted]
        return self._score(Pairs.from_columns(queries, titles)).scores.astype(np.float64)

    def deletions(self, order: Sequence[int]) -> list[set[int]]:
        """Return the words that are gone after each deletion; the last word of a side is passed over."""
        left = [len(self._query), len(self._title)]
        gone: list[set[int]] = []
        for word in order:
            side = int(word >= len(self._query))
            if left[side] > 1:
                left[side] -= 1
                gone.append({word} | (gone[-1] if gone else set()))
        return gone[:DELETED]


def _rest(words: Sequence[str], gone: set[int], first: int) -> str:
    return " ".join(word for place, word in enumerate(words, first) if place not in gone)


def deletion_curves(
    explainer: Explainer, found: Explanation, rng: np.random.Generator
) -> dict[str, list[list[float]]] | None:
    """Return, for each kind of order, how far the logit moved after each deletion; `None` for too few words."""
    pair = PairScores(explainer, found)
    if len(pair.deletions(range(pair.words))) < DELETED:
        return None
    sign = 1.0 if found.label else -1.0
    contributions = np.array([word.contribution for word in (*found.query, *found.title)])
    # A side with one word keeps it.
    alone = [len(found.query) == 1] * len(found.query) + [len(found.title) == 1] * len(found.title)
    changes = found.logit - pair.without([set() if kept else {word} for word, kept in enumerate(alone)])
    orders = {
        BY_CONTRIBUTION: [np.argsort(-sign * contributions)],
        LEFT_OUT: [np.argsort(-sign * changes)],
        RANDOM: [rng.permutation(pair.words) for _ in range(RANDOM_ORDERS)],
    }
    return {
        kind: [(sign * (found.logit - pair.without(pair.deletions(order.tolist())))).tolist() for order in each]
        for kind, each in orders.items()
    }


def main() -> None:
    """Explain, delete, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judged", type=Path, nargs="+", help="tables with the columns query and title")
    parser.add_argument("--pairs", type=int, default=300, help="pairs of each table")
    parser.add_argument("--exact-words", type=int, default=12)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path())
    add_json_flag(parser)
    arguments = parser.parse_args()
    scorer = Scorer(Bundle.load(arguments.bundle))
    explainer, thorough = Explainer(scorer), Explainer(scorer, max_cost=1 << 20)
    rng = np.random.default_rng(0)
    figures: list[Figure] = []
    for path in arguments.judged:
        moved: dict[str, list[np.ndarray]] = defaultdict(list)
        gaps, errors, covered, cpu, wall, exact = [], [], [], [], [], 0
        for query, title in _pairs(path, arguments.pairs, rng):
            cpu_before, before = thread_time(), perf_counter()
            try:
                found = explainer.explain(query, title)
            except RequestError:
                continue
            cpu.append(thread_time() - cpu_before)
            wall.append(perf_counter() - before)
            exact += found.exact
            words = [*found.query, *found.title]
            score = float(scorer.score_texts([query], [title]).scores[0])
            total = sum(word.contribution for word in words)
            gaps.append(abs(total - (np.log(score / (1 - score)) - found.baseline)))
            for kind, curves in (deletion_curves(explainer, found, rng) or {}).items():
                moved[kind].append(np.mean(curves, axis=0).tolist())
            if not found.exact and len(words) <= arguments.exact_words:
                true = thorough.explain(query, title)
                for word, truth in zip(words, (*true.query, *true.title), strict=True):
                    errors.append(word.contribution - truth.contribution)
                    covered.append(abs(errors[-1]) <= 2 * word.standard_error)
        name = path.name.split(".")[0]
        for kind, means in moved.items():
            figures.append(
                Figure(
                    name=f"{name}, change of the logit when 1, 2, 3 words are deleted {kind}",
                    unit="",
                    values=np.mean(means, axis=0).round(2).tolist(),
                )
            )
        figures += [
            Figure(name=f"{name}, pairs explained exactly", unit="%", values=[round(100 * exact / len(cpu))]),
            Figure(name=f"{name}, time of the processor, median", unit="ms", values=[round(np.median(cpu) * 1e3, 1)]),
            Figure(name=f"{name}, time, median", unit="ms", values=[round(np.median(wall) * 1e3, 1)]),
            Figure(
                name=f"{name}, pairs whose contributions sum to the logit of the score within 0.0001",
                unit="%",
                values=[round(100 * float(np.mean(np.array(gaps) < 1e-4)))],
            ),
        ]
        if errors:
            root = float(np.sqrt(np.mean(np.square(errors))))
            figures += [
                Figure(
                    name=f"{name}, error of sampled contributions, root mean square", unit="", values=[round(root, 3)]
                ),
                Figure(
                    name=f"{name}, sampled contributions within two standard errors of the exact ones",
                    unit="%",
                    values=[round(100 * float(np.mean(covered)))],
                ),
            ]
    for figure in figures:
        print(f"{figure.name}: {shown(figure)}")
    write_result(arguments.json, "Explanations of judged pairs: what deleting words does to the score", figures)


def _pairs(path: Path, count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    table = read_table(path, ["query", "title"])
    rows = list(zip(table["query"], table["title"], strict=True))
    return [rows[row] for row in rng.permutation(len(rows))[:count]]


if __name__ == "__main__":
    main()
