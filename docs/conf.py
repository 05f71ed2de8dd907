"""The documentation site: `make docs` builds it into site/, offline, with warnings as errors."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

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
html_title = "qtr"
html_show_sphinx = False
html_copy_source = False
# Docstrings are written in Markdown's single backticks, which are code.
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

docs_pages.write_all(Path(__file__).parent)
