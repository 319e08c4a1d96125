"""A row of a batch -> a request, or the reason why the row cannot be used. This module has no I/O and no Airflow.

A row is a mapping in the shared vocabulary: ``target_type``, the ids, ``value``, ``label``, ``dedupe_key``. If a key is
missing, ``NULL`` or empty, the default of the operator is used. The defaults for ``value`` and ``dedupe_key`` may
contain other columns of the row (``"You have {points} points"``). Text is never changed. :mod:`.texts` says how a
number becomes text.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Mapping
from string import Formatter
from typing import Any, NamedTuple

from airflow_provider_passnotify.api import protocol
from airflow_provider_passnotify.api.protocol import Request
from airflow_provider_passnotify.rows.names import KEYS, column_name, nearest_key
from airflow_provider_passnotify.rows.texts import as_id, as_text, is_absent, is_number, shown
from airflow_provider_passnotify.targets import ID_NAMES, Target, clean_id, ids_of, make_target, parse_target_type

DIGEST_SIZE = 12

_ID_NAMES = frozenset(ID_NAMES)
_COLUMN = re.compile(r"[^\W\d][\w -]*")
_OWN_BRACES = re.compile(r"\{\s*[^\W\d][\w -]*\}")
_SHAPES_KEPT = 1000
_NULL_IN_FILES = "\\N"
_NULL_WORDS = frozenset(
    "".join(spelling)
    for word in ("null", "(null)", "[null]", "<null>", "none", "nan", "-nan", "nat", "<na>", "n/a", "#n/a")
    for spelling in itertools.product(*({char, char.upper()} for char in word))
)
_MAX_DECIMALS = 6


class Message(NamedTuple):
    """A row that can be sent or deleted.

    :param recipient_digest: a digest of the recipient: of the target, or of the ``dedupe_key``.
    :param content_digest: a digest of target, label and value. Rows with the same digest are equal.
    :param dedupe_key: ``None`` if the row has none.
    """

    target: Target
    request: Request
    recipient_digest: bytes
    content_digest: bytes
    dedupe_key: str | None


class Template:
    """A text with ``{column}`` in it. Only plain names are allowed, so a row can use nothing except its own columns.

    :param name: the name of the argument, for errors.
    :raises ValueError: it says what is wrong.
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
            self._parts.append((literal, None if field is None else column_name(field)))
        self.columns = frozenset(field for _, field in self._parts if field is not None)

    def fill(self, column: Callable[[str], Any], as_text: Callable[[str, Any], str] = as_text) -> str:
        """Return the text.

        :param column: returns the value of a column by its name, ``None`` if there is no such column.
        :param as_text: makes text from the value of a column.
        """
        texts = []
        for literal, field in self._parts:
            texts.append(literal)
            if field is not None:
                value = column(field)
                if is_absent(value):
                    raise ValueError(f"{self.name} needs the column {field!r}, which this row lacks or has empty.")
                texts.append(as_text(field, value))
        return "".join(texts)


class _Shape(NamedTuple):
    """What rows with the same columns have in common.

    :param names: the column names as they are in the row, by the key or column that they mean.
    :param misspelt: columns whose names may be misspelt keys, by that key.
    :param misspelt_id: a column whose name may be a misspelt id, and that id; of ids that the operator does not give.
    :param is_known: whether at least one column means something.
    """

    names: dict[str, Any]
    misspelt: dict[str, str]
    misspelt_id: tuple[str, str] | None
    is_known: bool


class RowReader:
    """Reads rows.

    :param defaults: the defaults of the operator, by key. ``value`` and ``dedupe_key`` are templates.
    :param delete: whether the rows are deletions, which need no message.
    :param null_values: texts that count as absent, in addition to ``\\N``. ``None`` if the rows do not come from a
        file: then a text such as ``\\N`` is ordinary text.
    :raises ValueError: if a default is wrong for every row.
    """

    def __init__(
        self, defaults: Mapping[str, Any], *, delete: bool = False, null_values: Collection[str] | None = None
    ) -> None:
        self._defaults = {key: value for key, value in defaults.items() if not is_absent(value)}
        self._delete = delete
        self._is_file = null_values is not None
        self._nulls = frozenset({_NULL_IN_FILES, *(null_values or ())})
        self._templates: dict[str, Template] = {
            key: Template(key, self._defaults.pop(key)) for key in ("value", "dedupe_key") if key in self._defaults
        }
        self._used = frozenset().union(*(template.columns for template in self._templates.values()))
        self._in_play = {*self._defaults, *self._templates}
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._unused: dict[str, None] = {}
        self._hints: dict[str, str] = {}
        self._has_known = False
        for name in ID_NAMES:
            if name in self._defaults:
                clean_id(name, self._defaults[name])
        if "target_type" in self._defaults:
            self._defaults["target_type"] = parse_target_type(self._defaults["target_type"])  # once, not for each row

    def read(self, row: Mapping[str, Any]) -> Message:
        """Return what a row asks for.

        :raises ValueError: it says why the row cannot be used.
        """
        shape = self._shape(row)
        column = self._column_getter(row, shape.names)
        target = self._target(column, shape)
        dedupe_key = self._text("dedupe_key", column, shape)
        if self._delete:
            request = protocol.delete_request(target)
        else:
            value = self._text("value", column, shape)
            request = protocol.send_request(target, value=value, label=self._text("label", column, shape))  # type: ignore[arg-type]  # checked there
        if not shape.is_known:
            raise ValueError(f"none of its columns is known ({_listed(shape.names)}), and a row must say something.")
        address = request.address
        content = _digest(address.encode() + b"\n" + (request.body or b""))
        return Message(target, request, recipient_digest(address, dedupe_key), content, dedupe_key)

    def check_source(self, header: Collection[str] = ()) -> None:
        """Refuse a source that has rows, but no known column in any of them: it is an HTML page, or some other file.

        :param header: the names of the columns of a file without rows. Its only line may be a row without a header.
        :raises ValueError: it names the columns.
        """
        if header and not any(name in KEYS or name in self._used for name in map(column_name, header)):
            raise ValueError(
                f"It has one line, in which no column is known ({_listed(header)}), and no rows. Is the line with the "
                "names of the columns missing? Is it the right file?"
            )
        if self._unused and not self._has_known:
            raise ValueError(
                f"No row has a column that is known (there are {_listed(self._unused)}), so only what the operator "
                "itself says would be sent. Is it the right file or query?"
            )

    def name(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the target of a row that cannot be used, as far as the row says it."""
        given = {column_name(key): value for key, value in row.items() if isinstance(key, str)}
        known = {**self._defaults, **{key: value for key, value in given.items() if not is_absent(value)}}
        return {key: shown(known[key]) for key in ("target_type", *ID_NAMES) if key in known}

    def dedupe_key(self, row: Mapping[str, Any]) -> str | None:
        """Return the ``dedupe_key`` of a row that cannot be used, if the row says it."""
        try:
            shape = self._shape(row)
            return self._text("dedupe_key", self._column_getter(row, shape.names), shape)
        except ValueError:
            return None

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user about all rows together."""
        found = list(self._hints.values())
        if self._unused:
            words = []
            for name in list(self._unused)[:20]:
                near = nearest_key(name)
                words.append(f"{name!r:.60} (did you mean {near!r}?)" if near else f"{name!r:.60}")
            found.append(f"Columns that are not used: {', '.join(words)}{', ...' if len(self._unused) > 20 else ''}.")
        return found

    def _column_getter(self, row: Mapping[str, Any], names: Mapping[str, Any]) -> Callable[[str], Any]:
        if self._is_file:
            nulls = self._nulls

            def column(name: str) -> Any:
                key = names.get(name)
                value = None if key is None else row[key]
                return None if isinstance(value, str) and value in nulls else value

        else:

            def column(name: str) -> Any:
                key = names.get(name)
                return None if key is None else row[key]

        return column

    def _target(self, column: Callable[[str], Any], shape: _Shape) -> Target:
        target_type = column("target_type")
        if is_absent(target_type):
            target_type = self._default("target_type", shape)
        kind = parse_target_type(target_type)
        takes = ids_of(kind)
        is_own = False
        ids: dict[str, object] = {}
        for name in takes:
            if name in self._defaults:
                ids[name] = self._defaults[name]
        for name in shape.names:
            # A column that is only used in a template is not an id.
            if name in takes or (name in _ID_NAMES and name not in self._used):
                value = column(name)
                if not is_absent(value):
                    if self._is_file and _looks_like_null(value):
                        raise ValueError(_NULL_WORD.format(name=name, value=value))
                    ids[name] = as_id(name, value)
                    is_own = True
        for name in shape.misspelt:
            if name in ids:
                self._default(name, shape)
        target = make_target(kind, ids)
        if shape.misspelt_id is not None and not is_own:
            column_in_row, name = shape.misspelt_id
            raise ValueError(
                f"the column {column_in_row!r:.60} is not known (did you mean {name!r}?), and the row has no other id, "
                f"so the operator's own target would be used instead: name the column {name}, or leave it out."
            )
        return target

    def _text(self, key: str, column: Callable[[str], Any], shape: _Shape) -> str | None:
        template = self._templates.get(key)
        if template is None or key not in template.columns:  # in "Balance: {value}" the column only fills the template
            given = column(key)
            if not is_absent(given):
                text = self._as_text(key, given)
                if self._is_file and _looks_like_null(given):
                    raise ValueError(_NULL_WORD.format(name=key, value=given))
                if "{" in text and (found := _OWN_BRACES.search(text)):
                    self._hint(
                        "braces",
                        f"A row's own {key} holds {found.group()!r:.60}, which goes out as it is: only the operator's "
                        f"{key}= is filled from a row's columns, and only there Jinja is rendered.",
                    )
                return text
        default: str | None = self._default(key, shape)
        return default if template is None else template.fill(column, self._fill_text)

    def _default(self, key: str, shape: _Shape) -> Any:
        """Return the default of the operator.

        :raises ValueError: if a column of the row may be a misspelt name of this key.
        """
        if key in shape.misspelt:
            raise ValueError(
                f"the column {shape.misspelt[key]!r:.60} is not known (did you mean {key!r}?), and the operator's own "
                f"{key} would be used instead: name the column {key}, or leave it out."
            )
        return self._defaults.get(key)

    def _fill_text(self, name: str, value: Any) -> str:
        if self._is_file and _looks_like_null(value):
            self._hint(
                "null",
                f"The column {name!r:.60} holds the text {value!r}, which goes out as it is; "
                f"null_values=[{value!r}] would count it as absent.",
            )
        return self._as_text(name, value)

    def _as_text(self, name: str, value: Any) -> str:
        if type(value) is str:  # a quick check: most values are text or whole numbers
            return value
        text = as_text(name, value)
        if type(value) is not int and is_number(value) and len(text.partition(".")[2]) > _MAX_DECIMALS:
            self._hint(
                "decimals",
                f"The number {text:.60} in the column {name!r:.60} goes out with all its decimals. Round or format "
                "numbers where the rows come from, as with ROUND in SQL.",
            )
        return text

    def _hint(self, kind: str, text: str) -> None:
        self._hints.setdefault(kind, text)

    def _shape(self, row: Mapping[str, Any]) -> _Shape:
        """Return what is known of rows with these columns. The columns are examined only once."""
        columns = tuple(row)
        shape = self._shapes.get(columns)
        if shape is None:
            shape = self._learn(columns)
            if len(self._shapes) >= _SHAPES_KEPT:
                self._shapes.clear()
            self._shapes[columns] = shape
        return shape

    def _learn(self, columns: tuple[Any, ...]) -> _Shape:
        names: dict[str, Any] = {}
        others: list[str] = []
        for key in columns:
            if not isinstance(key, str):
                raise ValueError(f"a key is {key!r:.60}, not text.")
            name = column_name(key)
            if name in names:
                raise ValueError(f"two columns are called {name!r:.60}.")
            names[name] = key
            if name not in KEYS and name not in self._used:
                others.append(name)
        self._unused.update(dict.fromkeys(others[:_SHAPES_KEPT]) if len(self._unused) <= _SHAPES_KEPT else {})
        missing = self._in_play - names.keys()
        near = {key: name for name in others if missing and (key := nearest_key(name)) is not None}
        misspelt = {key: name for key, name in near.items() if key in missing}
        misspelt_id = next(((near[key], key) for key in ID_NAMES if key in near.keys() - names - self._in_play), None)
        is_known = len(others) < len(names)
        self._has_known = self._has_known or is_known
        return _Shape(names, misspelt, misspelt_id, is_known)


def _listed(names: Collection[str]) -> str:
    return f"{', '.join(map(repr, names)):.200}" or "none at all"


_NULL_WORD = (
    "{name} is the text {value!r}, which programs write for something absent. null_values=[{value!r}] counts it as "
    "absent; if it is meant as it stands, give the rows as a list."
)


def recipient_digest(address: str, dedupe_key: str | None) -> bytes:
    """Return a digest of whom a message is for: of the target, or of the ``dedupe_key``.

    :param address: the target's, as in a request.
    """
    if dedupe_key is None:
        return _digest(b"target:" + address.encode())
    return _digest(b"key:" + dedupe_key.encode("utf-8", "surrogatepass"))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()


def _looks_like_null(value: object) -> bool:
    return isinstance(value, str) and value.strip() in _NULL_WORDS
