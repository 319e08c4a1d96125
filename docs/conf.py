"""Settings of the guide; ``make docs`` builds it with warnings as errors."""

from airflow_provider_passnotify import __version__

project = "airflow-provider-passnotify"
release = version = __version__
html_theme = "furo"
html_title = f"{project} {release}"
extensions = ["sphinx.ext.autodoc"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
exclude_patterns = ["_build"]
