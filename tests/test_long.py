"""The list of long tests names tests that exist."""

from __future__ import annotations

import pytest

from tests.conftest import LONG, ROOT


@pytest.mark.parametrize("prefix", LONG)
def test_what_is_left_out_exists(prefix: str) -> None:
    path, _, name = prefix.partition("::")
    assert (ROOT / path).exists()
    assert not name or f"def {name.partition('[')[0]}" in (ROOT / path).read_text(encoding="utf-8")
