"""The documentation site: `make docs` builds it into site/, offline, with warnings as errors."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools import docs_pages  # noqa: E402 - found by the line above

project = "qtr"
author = "the authors of qtr"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = f"qtr {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
# Docstrings are written in Markdown's single backticks, which are code.
default_role = "code"
# Two hyphens begin a flag; they are no dash.
smartquotes = False
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "deflist"]
# References must resolve, except to other projects' classes, whose documentation is elsewhere, and to what only
# annotations name.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!(relevance_model|grpc_client|spark_jobs)\.).*"),
    (r"py:class", r".*\.(Counters|Plan|Result|ScoredPair)"),
]

docs_pages.write_all(Path(__file__).parent)


def setup(app: Sphinx) -> None:
    """Adapt each page's links, which are written for the forge, to the site."""

    def adapt(_: Sphinx, name: str, source: list[str]) -> None:
        if not name.startswith(("reference/", "project/")):
            source[0] = docs_pages.site_links(source[0], f"docs/{name}.md")

    app.connect("source-read", adapt)
