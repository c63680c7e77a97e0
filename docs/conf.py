"""Settings of the documentation: `make docs` builds it with Sphinx, offline."""

import sys
from pathlib import Path

from slimcae.version import __version__

sys.path.insert(0, str(Path(__file__).parent))  # the extensions of our own

project = "SlimCAE"
release = version = __version__
html_title = "SlimCAE"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "command_reference",
    "docstrings",
]
exclude_patterns = ["results/ideas.md"]  # part of results.md
myst_enable_extensions = ["attrs_block", "colon_fence"]
myst_heading_anchors = 4

# docstrings: Google style, names in single backticks
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
toc_object_entries_show_parents = "hide"
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "_static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "SlimCAE"},
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars: dict[str, list[str]] = {"index": [], "architecture": []}
html_last_updated_fmt = None
copyright = "the SlimCAE authors, Apache License 2.0"
