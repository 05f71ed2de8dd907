"""CPU time of titles of 8 KiB that are made to be expensive, compared with honest ones and with their charge.

python -m benchmarks.hostile_texts [--titles 64] [--runs 5] [--bundle FOLDER]

CPU time of one title in a call of `--titles` new ones, the lowest of `--runs` calls after two warm-up calls: in all and
in tokenization, as a multiple of an honest title's, and per charged token.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from time import thread_time

from grpc_server.core.splitting import charge
from relevance_model import Bundle, Pairs, Scorer, default_bundle_path
from relevance_model.bundle import TOKENIZER
from relevance_model.wordpiece import WordPieces
from tests.support.hostile_texts import KINDS, honest

WARM_UP_CALLS = 2


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path())
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    scorer, pieces = Scorer(bundle), WordPieces(bundle.path / TOKENIZER)
    rng = random.Random(0)

    def measure(make: Callable[[random.Random], str]) -> tuple[float, float, float]:
        """Return the seconds per title, in all and in tokenization, and its charge in tokens."""
        count = arguments.titles
        whole, cutting, tokens = [], [], 0
        for _ in range(WARM_UP_CALLS + arguments.runs):
            titles = [make(rng) for _ in range(count)]
            pairs = Pairs.from_columns(["usb cable"], titles, [0] * count)
            tokens = charge(pairs, bundle.manifest).tokens
            started = thread_time()
            scorer.score(pairs)
            scored = thread_time()
            pieces.encode(titles, bundle.manifest.max_title_tokens - 1)
            whole.append((scored - started) / count)
            cutting.append((thread_time() - scored) / count)
        return min(whole[WARM_UP_CALLS:]), min(cutting[WARM_UP_CALLS:]), tokens / count

    print(f"bundle {bundle.manifest.name} {bundle.manifest.version}, one thread")
    heads = ("us", "tokenize", "times", "charge", "us a token charged")
    print(f"{'a title':42}" + "".join(f"  {head:>8}" for head in heads))
    honest_seconds, _, _ = measure(honest)
    for name, make in {"an honest title": honest, **KINDS}.items():
        seconds, cut_seconds, tokens = measure(make)
        figures = (seconds * 1e6, cut_seconds * 1e6, seconds / honest_seconds, tokens, seconds * 1e6 / tokens)
        print(f"{name:42}" + "".join(f"  {figure:8.1f}" for figure in figures))


if __name__ == "__main__":
    main()
