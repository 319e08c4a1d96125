"""A row of a batch -> a request, or the reason why it is none. No I/O and no Airflow here.

A row is a mapping in the shared vocabulary: ``target_type``, the ids, ``value``, ``label``, ``dedupe_key``. A key that
a row lacks, or that is ``NULL`` or empty, takes the operator's default; ``value`` and ``dedupe_key`` may be filled from
the row's other columns (``"You have {points} points"``).
"""

from __future__ import annotations

import difflib
import hashlib
import math
import numbers
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from string import Formatter
from typing import Any, NamedTuple
from uuid import UUID

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.targets import ID_NAMES, Target, ids_of, make_target, parse_target_type

KEYS = ("target_type", *ID_NAMES, "value", "label", "dedupe_key")
"""What a row may hold; every other column is for templates, or a mistake."""
DIGEST_SIZE = 12

_ID_NAMES = frozenset(ID_NAMES)
_COLUMN = re.compile(r"[^\W\d][\w -]*")
_SHAPES_KEPT = 1000


class Message(NamedTuple):
    """A row that can be sent or deleted.

    :param recipient_digest: a digest of whom it is for: of the target, or of the ``dedupe_key``.
    :param content_digest: a digest of target, label and value: rows that share it are equal.
    """

    target: Target
    request: Request
    recipient_digest: bytes
    content_digest: bytes


class Template:
    """A text with ``{column}`` in it. Plain names only, so that a row can reach nothing but its own columns.

    :param name: the argument, for errors.
    :raises ValueError: saying what is wrong.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._parts: list[tuple[str, str | None]] = []
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{name} {text!r:.100}: {error}. A brace itself is written twice.") from None
        for literal, field, spec, conversion in parts:
            if field is not None and (spec or conversion or not _COLUMN.fullmatch(field)):
                raise ValueError(
                    f"{name} {text!r:.100}: {field!r:.60}"
                    + (f" with {conversion or spec!r:.60}" if conversion or spec else "")
                    + " is not the plain name of a column, as in {points}. Format values where the rows come from; "
                    "a brace itself is written twice."
                )
            self._parts.append((literal, None if field is None else _normal(field)))
        self.columns = frozenset(field for _, field in self._parts if field is not None)

    def fill(self, column: Callable[[str], Any]) -> str:
        """Return the text.

        :param column: gives a column by name, ``None`` where there is none.
        """
        texts = []
        for literal, field in self._parts:
            texts.append(literal)
            if field is not None:
                value = column(field)
                if _is_absent(value):
                    raise ValueError(f"{self.name} needs the column {field!r}, which this row lacks or has empty.")
                texts.append(_as_text(field, value))
        return "".join(texts)


class RowReader:
    """Reads rows.

    :param defaults: the operator's, by key; ``value`` and ``dedupe_key`` are templates.
    :param delete: whether the rows are deletions, which need no message.
    :raises ValueError: when a default can be right for no row.
    """

    def __init__(self, defaults: Mapping[str, Any], *, delete: bool = False) -> None:
        self._defaults = {key: value for key, value in defaults.items() if not _is_absent(value)}
        self._delete = delete
        self._templates: dict[str, Template] = {
            key: Template(key, self._defaults.pop(key)) for key in ("value", "dedupe_key") if key in self._defaults
        }
        self._used = frozenset().union(*(template.columns for template in self._templates.values()))
        self._shapes: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._unused: dict[str, None] = {}
        if "target_type" in self._defaults:
            parse_target_type(self._defaults["target_type"])

    def read(self, row: Mapping[str, Any]) -> Message:
        """Return what a row asks for.

        :raises ValueError: saying why the row cannot be used.
        """
        names = self._names(row)

        def column(name: str) -> Any:
            key = names.get(name)
            return None if key is None else row[key]

        target = self._target(column, names)
        dedupe_key = self._text("dedupe_key", column)
        if self._delete:
            request = protocol.delete_request(target)
        else:
            value = self._text("value", column)
            request = protocol.send_request(target, value=value, label=self._text("label", column))  # type: ignore[arg-type]  # checked there
        address = request.address.encode()
        whom = b"target:" + address if dedupe_key is None else b"key:" + dedupe_key.encode("utf-8", "surrogatepass")
        return Message(target, request, _digest(whom), _digest(address + b"\n" + (request.body or b"")))

    def name(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return whom a row that cannot be read is for, as far as it says."""
        given = {_normal(key): value for key, value in row.items() if isinstance(key, str)}
        known = {**self._defaults, **{key: value for key, value in given.items() if not _is_absent(value)}}
        return {key: _shown(known[key]) for key in ("target_type", *ID_NAMES) if key in known}

    @property
    def warning(self) -> str | None:
        """What to tell the user about columns that nothing uses."""
        if not self._unused:
            return None
        words = []
        for name in self._unused:
            near = difflib.get_close_matches(name, KEYS, n=1)
            words.append(f"{name!r:.60} (did you mean {near[0]!r}?)" if near else f"{name!r:.60}")
        return f"Columns that are not used: {', '.join(words[:20])}{', ...' if len(words) > 20 else ''}."

    def _target(self, column: Callable[[str], Any], names: Mapping[str, Any]) -> Target:
        target_type = column("target_type")
        kind = parse_target_type(self._defaults.get("target_type") if _is_absent(target_type) else target_type)
        takes = ids_of(kind)
        ids: dict[str, object] = {name: self._defaults[name] for name in takes if name in self._defaults}
        for name in names:
            # A column that only fills a template is no id.
            if name in takes or (name in _ID_NAMES and name not in self._used):
                value = column(name)
                if not _is_absent(value):
                    ids[name] = _as_id(name, value)
        return make_target(kind, ids)

    def _text(self, key: str, column: Callable[[str], Any]) -> str | None:
        template = self._templates.get(key)
        if template is None or key not in template.columns:  # in "Balance: {value}" the column only fills
            given = column(key)
            if not _is_absent(given):
                return _as_text(key, given)
        if template is not None:
            return template.fill(column)
        default: str | None = self._defaults.get(key)
        return default

    def _names(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row's keys by their normal names; rows of one shape are looked at once."""
        shape = tuple(row)
        names = self._shapes.get(shape)
        if names is None:
            names = self._learn(shape)
            if len(self._shapes) >= _SHAPES_KEPT:
                self._shapes.clear()
            self._shapes[shape] = names
        return names

    def _learn(self, shape: tuple[Any, ...]) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for key in shape:
            if not isinstance(key, str):
                raise ValueError(f"a key is {key!r:.60}, not text.")
            name = _normal(key)
            if name in names:
                raise ValueError(f"two columns are called {name!r:.60}.")
            names[name] = key
            if name not in KEYS and name not in self._used and len(self._unused) <= _SHAPES_KEPT:
                self._unused[name] = None
        return names


def _normal(name: str) -> str:
    return name.strip().lower()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()


def _shown(value: object) -> str:
    try:
        return f"{value!s:.200}"
    except ValueError:  # a number of more digits than Python writes
        return type(value).__name__


def _is_absent(value: object) -> bool:
    if isinstance(value, str):
        return not value
    # NaN, NaT and NA are how pandas writes NULL; NaT is a date that equals nothing.
    return value is None or (isinstance(value, float | date) and value != value) or type(value).__name__ == "NAType"


def _as_id(name: str, value: Any) -> str | int:
    """Return an id as text or int, where a database or a CSV reader made something else of it."""
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value if type(value) is int else _as_text(name, value)


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # of an enum: what it stands for
    if isinstance(value, int | numbers.Integral) and not isinstance(value, bool):
        return str(operator.index(value))
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(float(value))  # 1250.0 points are 1250
    if isinstance(value, UUID | date | time):
        return str(value)
    raise ValueError(f"{name} is {value!r:.60} ({type(value).__name__}); it must be text or a number.")
