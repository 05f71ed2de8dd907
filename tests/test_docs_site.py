"""The documentation site's own checks, and the pages that are made of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import docs_pages
from tools.docs_site import broken


def test_links_that_lead_nowhere_and_things_from_other_hosts_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<p id="here">x</p>')
    (tmp_path / "site.css").write_text("@import 'https://example.org/a.css'; p { background: url(local.png) }")
    (tmp_path / "index.html").write_text(
        '<a href="other.html#here">good</a> <a href="https://example.org/">good</a> <a href="#top">good</a>'
        '<a href="gone.html">bad</a> <a href="other.html#gone">bad</a>'
        '<script src="https://example.org/a.js"></script><img src="gone.png">'
    )
    assert broken(tmp_path) == [
        "index.html: loads https://example.org/a.js",
        "index.html: no such file: gone.html",
        "index.html: no such file: gone.png",
        "index.html: no such anchor: other.html#gone",
        "site.css: loads https://example.org/a.css",
    ]


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("docs/calling.md", "[x](nightly.md#exit-status)", "[x](nightly.md#exit-status)"),
        ("docs/calling.md", "[x](../CONTRIBUTING.md#style)", "[x](project/contributing.md#style)"),
        ("docs/calling.md", "[`a.proto`](../proto/a.proto)", "`a.proto`"),
        ("docs/operating.md", "[Spark](../k8s/spark/README.md)", "Spark (`k8s/spark/README.md`)"),
        ("docs/operating.md", "[x](https://example.org/)", "[x](https://example.org/)"),
        ("docs/operating.md", "![x](images/report.png)", "![x](images/report.png)"),
        ("CONTRIBUTING.md", "[x](ARCHITECTURE.md)", "[x](architecture.md)"),
        ("CONTRIBUTING.md", "[x](docs/security.md#tls)", "[x](../security.md#tls)"),
    ],
)
def test_links_are_adapted_to_the_site(page: str, link: str, on_the_site: str) -> None:
    assert docs_pages.site_links(f"See {link}.", page) == f"See {on_the_site}."


def test_the_reference_has_every_flag_key_and_public_name() -> None:
    commands = docs_pages.commands()
    assert "`--max-queued-tokens`" in commands
    assert "## `qtr distill`" in commands
    recipe = docs_pages.recipe()
    assert "## `[student.sizes]`" in recipe
    assert "`max_query_tokens`" in recipe
    assert "\n: —\n" not in recipe, "a key has no description"
    assert "relevance_model.Scorer" in docs_pages.api("relevance_model", "The model")
    assert "message ScoreBatchRequest" in docs_pages.contract()
