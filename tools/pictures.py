"""Pictures of the README, made from a real run: `make pictures`.

Labels the sample in a pseudo-terminal, writes what the terminal shows as `docs/images/terminal.svg`, and the run's report,
as a browser draws it, as `docs/images/report.png`. Needs Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

import os
import pty
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
PAGE_WIDTH, PAGE_HEIGHT = 1200, 900


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
        (IMAGES / "terminal.svg").write_text(console.export_svg(title="qtr label"), encoding="utf-8")
        report = work / "out" / "reports" / "run_date=2026-11-01" / "report.html"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        flags += ["--disable-background-networking", f"--user-data-dir={work / 'profile'}"]
        flags += [f"--window-size={PAGE_WIDTH},{PAGE_HEIGHT}", f"--screenshot={IMAGES / 'report.png'}"]
        subprocess.run([browser, *flags, report.as_uri()], check=True, capture_output=True)


def terminal(command: tuple[str, ...], folder: Path) -> str:
    """Run `command` in a pseudo-terminal; return the last state of each line, with its colours."""
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
    # A live line is drawn over and over; what stays of a line is what follows its last return to the margin.
    lines = said.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.rsplit("\r", 1)[-1] for line in lines)


if __name__ == "__main__":
    main()
