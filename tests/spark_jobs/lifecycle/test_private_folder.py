"""A folder is private if nobody else can put another file into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.lifecycle.private_folder import is_private, make_private


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    folder = (tmp_path / "parent").resolve()
    folder.mkdir(mode=0o755)
    return folder


@pytest.mark.parametrize(
    ("mode", "private"), [(0o700, True), (0o755, True), (0o775, False), (0o757, False), (0o1777, True)]
)
def test_nobody_else_may_write_to_a_parent_unless_it_is_sticky(parent: Path, mode: int, private: bool) -> None:
    file = parent / "java"
    file.touch(mode=0o755)
    parent.chmod(mode)
    assert is_private(file) is private


def test_the_folder_itself_may_not_be_sticky(parent: Path) -> None:
    parent.chmod(0o1777)
    assert not is_private(parent)


def test_a_private_folder_is_made_with_its_parents_and_a_link_is_resolved(parent: Path) -> None:
    (parent / "link").symlink_to("real")
    (parent / "real").mkdir()
    assert make_private(parent / "link" / "a" / "b") == parent / "real" / "a" / "b"
    (parent / "real").chmod(0o777)
    with pytest.raises(PermissionError, match="other users can write to"):
        make_private(parent / "link" / "a" / "b")


def test_what_is_missing_is_not_private(parent: Path) -> None:
    assert not is_private(parent / "missing")
