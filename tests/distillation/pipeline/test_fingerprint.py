"""Code digests: they change with the code that a step imports, not with words about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillation.pipeline.fingerprint import code_digest


def test_the_code_behind_a_step_is_in_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from distillation.pipeline import fingerprint

    imports = "from distillation.data import c\nfrom distillation.data.b import x\n"
    package = tmp_path / "distillation" / "data"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text('"""A package."""\n')
    (package / "a.py").write_text(f'"""Words."""\n{imports}y = x  # why\n')
    (package / "c.py").write_text("z = 1\n")
    (package / "b.py").write_text("x = 1\n")
    monkeypatch.setattr(fingerprint, "PACKAGES", tmp_path)
    first = code_digest("distillation.data.a")
    (package / "a.py").write_text(f'"""Other words."""\n\n{imports}\ny = x\n')
    assert code_digest("distillation.data.a") == first
    (package / "c.py").write_text("z = 2\n")
    assert code_digest("distillation.data.a") != first
    (package / "c.py").write_text("z = 1\n")
    assert code_digest("distillation.data.a") == first
    (package / "b.py").write_text("x = 2\n")
    assert code_digest("distillation.data.a") != first
