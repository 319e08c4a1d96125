"""Settings of the guide; ``make docs`` builds it with warnings as errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_passnotify import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "airflow-provider-passnotify"
release = version = __version__
html_theme = "furo"
html_title = f"{project} {release}"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:  # noqa: ARG001 (as Sphinx calls it)
    """Give Sphinx the list of pages: the links of the first page, so that it is written once."""
    if page == "index":
        listed = "\n".join(re.findall(r"^- .*\]\((\S+)\.md\)", source[0], re.MULTILINE))
        source[0] += f"\n```{{toctree}}\n:hidden:\n{listed}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
