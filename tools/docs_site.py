"""Build the documentation site and check it: `make docs`.

Sphinx builds `site/` with warnings as errors. Then every page is read once more: each link within the site must lead to
a page and an anchor that exist, and no page may load anything (script, style, font, picture) from another host.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
# Attributes by which a page loads something, and the one by which it only leads somewhere.
LOADING = {"img": "src", "script": "src", "iframe": "src", "source": "srcset", "link": "href", "object": "data"}


class Page(HTMLParser):
    """What a page of the site refers to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag's anchor and references."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if address := given.get(LOADING.get(tag, "")):
            self.loads.add(address)


def broken(site: Path) -> list[str]:
    """Return a sentence for each link that leads nowhere and each thing loaded from another host."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: loads {load}" for load in sorted(page.loads) if urlsplit(load).netloc]
        for link in sorted(page.links | page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name}: no such file: {link}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: no such anchor: {link}")
    for path in sorted(site.rglob("*.css")):
        outside = re.findall(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^)\"']+)", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: loads {address}" for address in outside]
    return found


def main() -> None:
    """Build and check."""
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    result = subprocess.run([*command, "--fresh-env", str(ROOT / "docs"), str(SITE)], check=False)
    if result.returncode:
        sys.exit("docs: Sphinx warned; see above")
    shutil.rmtree(SITE / ".doctrees", ignore_errors=True)
    if problems := broken(SITE):
        sys.exit("\n".join(["docs:", *problems]))
    print(f"docs: {len(list(SITE.rglob('*.html')))} pages in {SITE.relative_to(ROOT)}/index.html, all links good")


if __name__ == "__main__":
    main()
