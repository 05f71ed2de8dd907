"""Put the image's own bundle on an empty volume: `python -m grpc_server.first_model /models`.

The first pods of a Deployment do so before the server starts, several at a time. The copy gets its name `first`, and
the link `current` is made, only after every checksum was compared: a failed copy is never served, and the next start
copies again. A link `current` to another model is left as it is.
"""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from relevance_model import Bundle, BundleError, default_bundle_path

_FIRST, _CURRENT, _DRAFT = "first", "current", ".draft-"
# A copy takes seconds; what is older was left by a pod that was killed.
_DRAFT_SECONDS = 3600.0


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the volume if it is empty; return 0, or 2 with a sentence on stderr."""
    parser = ArgumentParser("python -m grpc_server.first_model", description="Put the own bundle on an empty volume.")
    parser.add_argument("models", type=Path, help="Folder of the models, with one folder for each version.")
    models: Path = parser.parse_args(argv).models
    try:
        fill(models, default_bundle_path())
    except (OSError, BundleError) as error:
        reason = f"{error.strerror} ({error.filename2 or error.filename})" if isinstance(error, OSError) else error
        print(f"{parser.prog}: the bundle cannot be put into {models}: {reason}", file=sys.stderr)
        return 2
    return 0


def fill(models: Path, bundle: Path) -> None:
    """Copy `bundle` to `models/first` and link `models/current` to it, unless the link names another model.

    Raises
    ------
    OSError
        If the volume is full or not writable.
    BundleError
        If a file changed while it was copied.
    """
    current = models / _CURRENT
    if current.is_symlink() and current.readlink() != Path(_FIRST):
        return
    _remove_old_drafts(models)
    if not _is_whole(models / _FIRST):
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=models))
        try:
            for file in bundle.iterdir():
                shutil.copyfile(file, draft / file.name)
            draft.chmod(0o755)
            Bundle.load(draft)
            _rename(draft, models / _FIRST)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    with suppress(FileExistsError):  # another pod was faster
        current.symlink_to(_FIRST)


def _rename(draft: Path, first: Path) -> None:
    """Give a whole copy its name, unless another pod's whole copy has it; an incomplete one is removed."""
    while True:
        try:
            draft.rename(first)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        else:
            return
        if _is_whole(first):
            return
        removed = draft.with_name(f"{draft.name}-removed")
        with suppress(FileNotFoundError):  # another pod was faster
            first.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        Bundle.load(folder)
    except BundleError:
        return False
    return True


def _remove_old_drafts(models: Path) -> None:
    for draft in models.glob(f"{_DRAFT}*"):
        with suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
