"""Write the table of connection options into the guide, from the options themselves (a unit test checks it).

Run it after a change of ``airflow_provider_passnotify/api/options.py``.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from airflow_provider_passnotify.api.options import OPTIONS

PAGE = Path(__file__).parent.parent / "docs" / "connection.rst"
BEGIN, END = ".. The table is written by scripts/connection_options.py.\n\n", "\n.. End of the table.\n"
WIDTH = 89


def table() -> str:
    """Return the options as a simple table of reStructuredText."""
    names = [f"``{name}``" for name in OPTIONS]
    first = max(map(len, names))
    rule = f"{'=' * first}  {'=' * WIDTH}"
    lines = [rule, f"{'option':<{first}}  what it is", rule]
    for name, option in zip(names, OPTIONS.values(), strict=True):
        text = textwrap.wrap(option.explanation, WIDTH)
        lines += [f"{head:<{first}}  {line}" for head, line in zip([name, *[""] * len(text)], text, strict=False)]
    return "\n".join([*lines, rule]) + "\n"


def updated(page: str) -> str:
    """Return the page with the table as it must be."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
