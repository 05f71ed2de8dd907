"""What the README tells people to type works, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- run(?:: (?P<needs>server))? -->\n```(?P<language>sh|python)\n(?P<text>.*?)```", re.DOTALL)


def commands() -> list[tuple[str, str]]:
    found = []
    for block in BLOCK.finditer(README):
        if block["language"] == "python":
            found.append(("python", block["text"]))
        else:
            found.extend(("sh", line) for line in block["text"].splitlines())
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the checkout to these commands, but may be written to."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize(("language", "text"), commands())
def test_a_block_runs(language: str, text: str, checkout: Path, server: ServerProcess) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = [sys.executable, "-c", text] if language == "python" else ["bash", "-c", text]
    program[-1] = program[-1].replace("localhost:8001", server.address)
    result = subprocess.run(
        program, cwd=checkout, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=150, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


def test_there_is_something_to_run() -> None:
    kinds = [text.split()[0] for language, text in commands() if language == "sh"]
    assert set(kinds) >= {"qtr", "grpcurl"}
    assert "grpcurl -plaintext localhost:8001 list" in README


def test_every_path_it_names_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
