"""Sphinx's settings. `python notebooks/book build` gathers the pages and calls Sphinx with them."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from book.docstrings import restructured
from course import read
from sphinx.util import inspect

# MathJax as one file that fetches nothing, with its fonts as curves. A package brings it along; its
# own extension would copy all 24 MB of MathJax.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0])

project = "kerasae"
author = "The kerasae authors"
html_title = "kerasae"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]

nb_execution_mode = "off"
nb_render_markdown_format = "gfm"  # the tables in outputs
nb_merge_streams = True
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
smartquotes_action = "D"  # dashes, which Sphinx writes as two hyphens; no quotes
mathjax_path = "tex-svg-full.js"

suppress_warnings = ["ref.python"]  # the type `bytes` is also the name of two properties

default_role = "py:obj"  # `name` in a docstring: a link where there is one, else code
autodoc_inherit_docstrings = False  # what Keras documents, its own pages say
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "sphinx_book_theme"
html_static_path = ["style.css", str(MATHJAX / "static" / "mathjax" / mathjax_path)]
html_css_files = ["style.css"]
html_context = {"default_mode": "auto"}  # else the theme complains of having none
html_show_search_summary = False  # which are fetched, and no browser fetches from a file
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "repository_url": read.repository(),
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": False,
}


def setup(app):
    """Reads docstrings as plain text, before napoleon finds their sections."""
    app.connect("autodoc-process-docstring", _restructure, priority=400)
    app.connect("autodoc-process-signature", _sign)


def _restructure(app, what, name, thing, options, lines) -> None:
    lines[:] = restructured(lines)


def _sign(app, what, name, thing, options, signature, returned):
    """The arguments of a class are those of `__init__`; Keras's `__new__` takes any."""
    if what != "class" or not inspect.isfunction(thing.__init__):
        return None
    arguments = inspect.signature(thing.__init__, bound_method=True)
    return inspect.stringify_signature(arguments, show_annotation=False), None
