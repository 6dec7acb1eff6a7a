"""Sphinx configuration: `python -m sphinx -W docs docs/_build` builds the pages."""

import importlib.metadata

project = "cupysoft"
copyright = "the cupysoft authors"
release = importlib.metadata.version("cupysoft")
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
numpydoc_show_class_members = False
html_theme = "alabaster"
exclude_patterns = ["_build"]
myst_heading_anchors = 2  # so that pages can link to sections of one another, as they can where Git's hosts show them
