"""What the README and the documentation tell people to type works, word for word, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess
from tools import docs_pages

ROOT = Path(__file__).resolve().parent.parent
# Pages that people write; those that `make docs` makes of the code are checked by it.
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md"))]
PAGES += sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"<!-- run(?:: (?P<needs>server))? -->\n```(?P<language>sh|python)\n(?P<text>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str, str]]:
    """Return the page, the language and the text of each block that is marked; what several pages show is run once."""
    found: dict[tuple[str, str], str] = {}
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            found.setdefault((block["language"], block["text"]), page.name)
    return [(page, language, text) for (language, text), page in found.items()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the checkout to these commands, but may be written to."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize(("page", "language", "text"), blocks())
def test_a_block_runs(page: str, language: str, text: str, checkout: Path, server: ServerProcess) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = [sys.executable, "-c", text] if language == "python" else ["bash", "-e", "-c", text]
    program[-1] = program[-1].replace("localhost:8001", server.address)
    result = subprocess.run(
        program, cwd=checkout, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{page}: {result.stdout}{result.stderr}"
    assert result.stdout.strip()


def test_there_is_something_to_run() -> None:
    words = {line.split()[0] for _, language, text in blocks() if language == "sh" for line in text.splitlines()}
    assert words >= {"qtr", "grpcurl"}
    assert {page for page, _, _ in blocks()} >= {"README.md", "index.md", "calling.md"}


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as forges and the site make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    """Return the pages that `make docs` writes: they are not in git."""
    return {ROOT / "docs" / name: text for name, text in docs_pages.all_pages().items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path, written: dict[Path, str]) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file in written or file.exists(), target
        if anchor:
            text = written[file] if file in written else file.read_text(encoding="utf-8")
            assert anchor in anchors(text), target
