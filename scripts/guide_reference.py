"""Makes the guide's reference from the docstrings of the public names. ``guide.py`` calls it."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from guide import PACKAGE, write


def names(module: str, *listed: str) -> None:
    """Show a table of public names, each with the first sentence of its docstring."""
    home = importlib.import_module(f"{PACKAGE}.{module}")
    rows = []
    for name in listed:
        first = _split(inspect.getdoc(getattr(home, name)) or "")[0].split("\n\n")[0]
        rows.append(f"| `{name}` | {first} |")
    write("\n".join(["| name | what it is |", "|---|---|", *rows]))


def connection_options() -> None:
    """Show a table of the options of a connection's Extra."""
    from airflow_provider_passnotify.api.options import OPTIONS

    rows = [f"| `{name}` | {option.explanation} |" for name, option in OPTIONS.items()]
    write("\n".join(["| option | what it is |", "|---|---|", *rows]))


def reference(path: str, *members: str) -> None:
    """Show the docstring of a public name, with its arguments as a list, and the docstrings of the named methods.

    :param path: such as ``hooks.passnotify.PassNotifyHook``.
    """
    module, name = path.rsplit(".", 1)
    thing = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    lines = [f"`from {PACKAGE}.{module} import {name}`", "", *_described(thing)]
    for member in members:
        function = inspect.getattr_static(thing, member)
        function = getattr(function, "__func__", function)
        lines += ["", f"**`{member}{_signature(function)}`**", "", *_described(function)]
    write("\n".join(lines))


def _described(thing: Any) -> list[str]:
    text, fields = _split(inspect.getdoc(thing) or "")
    if inspect.isclass(thing):
        for base in filter(_is_ours, thing.__mro__[1:]):
            known = {name for name, _ in fields}
            fields += [field for field in _split(inspect.cleandoc(base.__doc__ or ""))[1] if field[0] not in known]
    fields = [field for field in fields if field[0] != "param kwargs"]
    defaults = _defaults(thing)
    lines = [text, ""] if fields else [text]
    for name, what in sorted(fields, key=lambda field: ("param", "return", "raises").index(field[0].split()[0])):
        kind, _, argument = name.partition(" ")
        if kind == "param":
            default = f" (default: `{defaults[argument]}`)" if argument in defaults else ""
            lines.append(f"- `{argument}`{default}: {what}")
        elif kind == "return":
            lines.append(f"- returns {what}")
        else:
            lines.append(f"- raises `{argument}`: {what}")
    return lines


def _is_ours(base: type) -> bool:
    return base.__module__.startswith(PACKAGE)


def _split(doc: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a docstring into its text and its fields, as Markdown."""
    text, *rest = re.split(r"(?m)^:(?=param|return|raises)", _markdown(doc))
    fields = []
    for field in rest:
        name, _, what = field.partition(":")
        fields.append((name, " ".join(what.split())))
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip()), fields


def _markdown(doc: str) -> str:
    """Return reST as the docstrings have it (roles and literals) as Markdown."""
    doc = re.sub(r":\w+:`[~.]*(?:[\w.]+\.)?((?:[A-Z]\w*\.)?\w+)`", r"`\1`", doc)
    return doc.replace("``", "`")


def _defaults(thing: Any) -> dict[str, str]:
    classes = [base for base in reversed(thing.__mro__) if _is_ours(base)] if inspect.isclass(thing) else []
    found: dict[str, str] = {}
    for function in [base.__dict__["__init__"] for base in classes if "__init__" in base.__dict__] or [thing]:
        if not inspect.isfunction(function):
            continue
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.default is not parameter.empty and parameter.default is not None:
                found[name] = "[operators] default_deferrable" if name == "deferrable" else repr(parameter.default)
    return found


def _signature(function: Any) -> str:
    if not inspect.isfunction(function):
        return ""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return str(inspect.Signature(plain))
