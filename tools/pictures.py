"""Pictures of the README, made from a real run: `make pictures`.

Labels the sample in a pseudo-terminal. What the terminal shows becomes `docs/images/terminal.svg`; the report of the
run, as a browser draws it, becomes `docs/images/report.png`. Needs Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS, ROWS = 110, 40
COMMAND = ("qtr", "label", "--input", "examples/sample/pairs.jsonl", "--output", "out", "--run-date", "2026-11-01")
PAGE_WIDTH, PAGE_HEIGHT = 1200, 785
# The picture would load its font from a host on the internet; without, it takes the reader's monospaced one.
FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
CONTROL = re.compile(r"(\r?\n|\r|\x1b\[1?A|\x1b\[2K|\x1b\[\?25[lh])")


def main() -> None:
    """Run, and write both pictures."""
    browser = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if browser is None:
        sys.exit("pictures: no Chromium found (Debian: apt install chromium)")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "examples").symlink_to(ROOT / "examples")
        shown = terminal(COMMAND, work)
        console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        console.print(Text(f"$ {' '.join(COMMAND)}", style="bold"))
        console.print(Text.from_ansi(shown))
        svg = FONT_FACES.sub("", console.export_svg(title="qtr label", unique_id="terminal"))
        (IMAGES / "terminal.svg").write_text(svg, encoding="utf-8")
        report = work / "out" / "reports" / "run_date=2026-11-01" / "report.html"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        flags += ["--run-all-compositor-stages-before-draw", "--virtual-time-budget=10000"]
        flags += ["--disable-background-networking", f"--user-data-dir={work / 'profile'}"]
        flags += [f"--window-size={PAGE_WIDTH},{PAGE_HEIGHT}", f"--screenshot={IMAGES / 'report.png'}"]
        subprocess.run([browser, *flags, report.as_uri()], check=True, capture_output=True)


def terminal(command: tuple[str, ...], folder: Path) -> str:
    """Run `command` in a pseudo-terminal; return what it shows at the end, with its colours."""
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = bytearray()
    try:
        while block := os.read(ours, 4096):
            said += block
    except OSError:  # the other end is closed
        pass
    if process.wait():
        sys.exit(f"pictures: the run failed:\n{said.decode()}")
    return screen(said.decode())


def screen(written: str) -> str:
    r"""Return what a terminal shows after `written`: live lines are drawn over and erased, as `rich` does it.

    >>> screen("one\r\n10 %\r\x1b[2K90 %\r\n\x1b[1A\x1b[2Kdone\r\n")
    'one\ndone'
    """
    lines, row, at_margin = [""], 0, True
    for part in CONTROL.split(written):
        if part in {"\n", "\r\n"}:
            row, at_margin = row + 1, True
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            at_margin = True
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part and not part.startswith("\x1b[?25"):
            lines[row] = part if at_margin else lines[row] + part
            at_margin = False
    return "\n".join(lines).rstrip("\n")


if __name__ == "__main__":
    main()
