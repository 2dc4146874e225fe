"""The documentation's site: `make docs` builds it, with every warning an error."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

from edulearn_migrate import __version__

project = "edulearn_migrate"
copyright = "EDULEARN contributors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4

# The docstrings follow Google's style. A class is documented by its own docstring and its fields.
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Some JSON on the pages is broken on purpose, and some holds Python tuples.
suppress_warnings = ["misc.highlighting_failure"]

# Furo brings its own style sheets and uses the fonts of the reader's system: a page loads nothing
# from elsewhere.
html_theme = "furo"
html_title = f"edulearn_migrate {version}"
html_copy_source = False
html_show_sphinx = False

_SET_UP = re.compile(r"^<!-- (?:python|sh|file)\b.*?^-->$", re.MULTILINE | re.DOTALL)

_CODE = re.compile(r"(?<![`:\w])`([^`]+)`(?!`)(\w?)")


def _without_set_up(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Leave out what only the tests of the pages need."""
    source[0] = _SET_UP.sub("", source[0])


def _code(
    _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """In the docstrings `x` is code, as in Markdown, also where a letter follows."""
    for n, line in enumerate(lines):
        lines[n] = _CODE.sub(
            lambda found: f"``{found[1]}``" + (found[2] and rf"\ {found[2]}"), line
        )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _code, priority=400)  # before napoleon
    app.connect("source-read", _without_set_up)
