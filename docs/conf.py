"""The documentation's settings: make docs, then open docs/_build/index.html."""

import re
from pathlib import Path

project = "zoofuse"
version = re.search(
    r'__version__ = "(.*)"', (Path(__file__).parents[1] / "workflow/src/zoofuse/__init__.py").read_text()
).group(1)
release = version
copyright = "the authors of zoofuse"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True  # a link that leads nowhere is a fault
smartquotes = False  # defaults are told as they are written
highlight_language = "text"  # of blocks that name none: commands
html_theme = "furo"
html_title = f"zoofuse {version}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b84a00", "color-brand-content": "#b84a00"},
    "dark_css_variables": {"color-brand-primary": "#ff9350", "color-brand-content": "#ff9350"},
}
