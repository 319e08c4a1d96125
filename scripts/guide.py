"""Puts code into the pages of the guide (``make guide``), or checks that it is there (``guide.py --check``).

A page has two comments that no reader sees. The first one says what to show, and cogapp writes it between the two::

    <!-- [[[cog example("passnotify_points", "howto_sql") ]]] -->
    ... written by cogapp ...
    <!-- [[[end]]] -->
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "example_dags"
PACKAGE = "airflow_provider_passnotify"


def pages() -> list[Path]:
    """Return the Markdown files that may show code, by name."""
    return sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")])


def example(name: str, *regions: str) -> None:
    """Show an example DAG, or regions of it, each between ``# [START region]`` and ``# [END region]``.

    A region is shown with the imports and the constants that it needs, so that it can be pasted into a DAG.
    """
    source = (EXAMPLES / f"{name}.py").read_text()
    if not regions:
        show(re.sub(r"\n *# \[(START|END) \w+\](?=\n)", "", source))
        return
    bodies = [textwrap.dedent(_region(source, region)).strip("\n") for region in regions]
    show("\n\n".join(filter(None, [_needed(source, "\n".join(bodies)), *bodies])))


def module_text(module: str, start: str, end: str) -> None:
    """Show a part of a module's docstring, from the line that begins with ``start`` to before ``end``."""
    text = inspect.getdoc(importlib.import_module(f"{PACKAGE}.{module}")) or ""
    part = text[text.index(start) : text.index(end, text.index(start))]
    show(textwrap.dedent(part), language="text")


def code(path: str) -> None:
    """Show a whole file of Python as it is."""
    show((ROOT / path).read_text())


def file_text(path: str) -> None:
    """Show a whole file of Markdown as it is."""
    write((ROOT / path).read_text())


def show(text: str, language: str = "python") -> None:
    """Write a block of code into the page."""
    if language == "python":
        text = ruff(ruff(text, "check", "--select=I", "--fix", "--quiet"), "format")
    write(f"```{language}\n{text.strip()}\n```")


def ruff(text: str, *command: str) -> str:
    """Return code as ruff would have it."""
    ruff = [str(Path(sys.executable).with_name("ruff")), *command, "--stdin-filename=page.py", "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def write(text: str) -> None:
    """Write Markdown into the page."""
    import cog

    cog.outl(text.strip("\n"))


def _region(source: str, name: str) -> str:
    found = re.search(rf"# \[START {name}\]\n(.*?)\n *# \[END {name}\]", source, re.DOTALL)
    if not found:
        raise ValueError(f"no region {name!r}")
    return found.group(1)


def _needed(source: str, code: str) -> str:
    """Return the imports and constants at the top of a file that a piece of it uses."""
    tops = ast.parse(source).body
    wanted = _names(ast.parse(code))
    taken: dict[int, str] = {}
    for node in reversed(tops):  # what a constant needs is above it
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias for alias in node.names if (alias.asname or alias.name) in wanted]
            if names:
                taken[node.lineno] = _import(node, names)
        elif isinstance(node, ast.Assign | ast.FunctionDef):
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            if {getattr(target, "id", getattr(target, "name", None)) for target in targets} & wanted:
                taken[node.lineno] = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
                wanted |= _names(node)
    ordered = [taken[line] for line in sorted(taken)]
    imports = [text for text in ordered if text.startswith(("import ", "from "))]
    others = [text for text in ordered if text not in imports]
    return "\n\n".join(filter(None, ["\n".join(imports), *others]))


def _import(node: ast.ImportFrom | ast.Import, names: list[ast.alias]) -> str:
    listed = ", ".join(ast.unparse(name) for name in names)
    line = f"import {listed}" if isinstance(node, ast.Import) else f"from {node.module} import {listed}"
    if len(line) <= 100 or isinstance(node, ast.Import):
        return line
    return f"from {node.module} import (\n" + "".join(f"    {ast.unparse(name)},\n" for name in names) + ")"


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def main() -> int:
    """Write, or with ``--check`` compare, all pages."""
    from cogapp import Cog

    mode = ["--check", "--diff"] if "--check" in sys.argv[1:] else ["-r"]
    files = [str(page) for page in pages()]
    prologue = "from guide import *; from guide_reference import *"
    return int(Cog().main(["cog", *mode, "-n", "UTF-8", "-I", str(Path(__file__).parent), "-p", prologue, *files]))


if __name__ == "__main__":
    sys.exit(main())
