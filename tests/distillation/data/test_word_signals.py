"""Word signals: each one tells a pair that fits from one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from distillation.data.word_signals import WORD_SIGNALS, word_signals

# The last signals describe letters and lengths, which differ between any two titles.
FORMS = 8


def signals(query: str, title: str) -> np.ndarray:
    row: np.ndarray = word_signals([query], [title], lambda _: 1.0)[0]
    return row


@pytest.mark.parametrize(
    ("query", "fitting", "other"),
    [
        ("hdmi cable 6 ft", "HDMI Cord, 6ft, Black", "HDMI Cord, 25ft, Black"),
        ("1tb hard drive", "Portable Drive 1000GB", "Portable Drive 4000GB"),
        ("12 pack socks", "Socks, Pack of 12", "Socks, Pack of 6"),
        ("lego 42115", "LEGO 42115 Car", "LEGO 42123 Car"),
        ("womens polo shirt", "Ladies Golf Polo", "Mens Golf Polo"),
        ("red dress", "Crimson Maxi Dress", "Navy Maxi Dress"),
        ("wooden table", "Wooden Table", "Glass Table"),
        ("king comforter", "Comforter, King", "Comforter, Twin"),
        ("sugar free candy", "Sugar-Free Candy", "Candy with Sugar"),
        ("couch", "Grey Linen Sofa", "Grey Linen Lampshade"),
        ("vaccum", "Upright Vacuum", "Upright Piano"),
        ("airfryer", "Air Fryer 5 Quart", "Electric Kettle 2 Quart"),
        ("vacuum", "Upright Vacuum", "Filter for Vacuum"),
    ],
)
def test_a_contrast_is_seen(query: str, fitting: str, other: str) -> None:
    assert not np.array_equal(signals(query, fitting)[:-FORMS], signals(query, other)[:-FORMS])


def test_they_are_finite_for_any_text() -> None:
    texts = ["", "   ", "!!!", "日本語 タイトル", "a" * 300, "5'", "12x24", "no", "for"]
    rows = word_signals([a for a in texts for _ in texts], [b for _ in texts for b in texts], lambda _: 2.0)
    assert rows.shape == (len(texts) ** 2, WORD_SIGNALS)
    assert np.isfinite(rows).all()


def test_the_order_of_pairs_does_not_matter() -> None:
    queries, titles = ["red shoes", "lamp"], ["Blue Shoes", "Lamp Shade for Floor Lamp"]
    both = word_signals(queries, titles, len)
    np.testing.assert_array_equal(both[::-1], word_signals(queries[::-1], titles[::-1], len))
