"""The stubs are what the protos say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_stubs_are_in_step_with_the_protos(tmp_path: Path) -> None:
    protos = sorted(path.relative_to(ROOT / "proto") for path in (ROOT / "proto").rglob("*.proto"))
    outputs = [f"--{kind}=." for kind in ("python_out", "pyi_out", "grpc_python_out")] + ["--mypy_grpc_out=quiet:."]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-Irelevance_stubs={ROOT / 'proto'}", *outputs]
        + [f"relevance_stubs/{proto}" for proto in protos],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        check=True,
    )
    fresh = contents(tmp_path / "relevance_stubs")
    assert contents(ROOT / "relevance_stubs") == fresh, "run `make proto`"
    assert fresh


def contents(folder: Path) -> dict[str, str]:
    """Return every generated file below `folder`."""
    files = [path for path in folder.rglob("*_pb2*") if path.suffix in {".py", ".pyi"}]
    return {str(path.relative_to(folder)): path.read_text() for path in files}
