"""Paths by their text alone: in a folder or not, local or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs.storage.paths import OutsideError, file_scheme_path, local_path, require_below


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("out/x", "out"),
        ("/x", "/"),
        ("//_staging/x", "/"),
        ("s3a://bucket/out/a/b", "s3a://bucket/out"),
        ("out/a b/[x]", "out/"),
    ],
)
def test_what_lies_below_may_be_deleted(path: str, folder: str) -> None:
    require_below(path, folder)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("out", "out"),
        ("out/", "out"),
        ("out/.", "out"),
        ("outer/x", "out"),
        ("out/a/../../x", "out"),
        ("out/..", "out"),
        ("s3a://other/out/x", "s3a://bucket/out"),
        ("/out/x", "out"),
    ],
)
def test_what_lies_elsewhere_may_not(path: str, folder: str) -> None:
    with pytest.raises(OutsideError):
        require_below(path, folder)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "victim").mkdir()
    (tmp_path / "named").symlink_to("out")
    require_below(f"{tmp_path}/named/real/x", f"{tmp_path}/named")  # the folder that the user named
    (tmp_path / "out" / "link").symlink_to("../victim")
    require_below(f"{tmp_path}/out/link", f"{tmp_path}/out")  # the link itself, not what it leads to
    with pytest.raises(OutsideError, match=f"a symbolic link leads to {tmp_path}/victim") as caught:
        require_below(f"file://{tmp_path}/out/link/x", f"file://{tmp_path}/out")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "qualified", "local"),
    [
        ("file:///data/a", "/data/a", "/data/a"),
        ("file:/data/a", "/data/a", "/data/a"),
        ("/data/a", None, "/data/a"),
        ("data/a:b", None, "data/a:b"),
        ("hdfs://name/data", None, None),
        ("s3a://shop/data", None, None),
    ],
)
def test_a_path_is_local_or_remote(path: str, qualified: str | None, local: str | None) -> None:
    assert file_scheme_path(path) == (qualified and Path(qualified))
    assert local_path(path) == (local and Path(local))
