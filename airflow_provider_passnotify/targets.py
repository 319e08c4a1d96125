"""What can be notified: six target types, their ids, and the path of each type in the API.

This module has no I/O and no Airflow. The paths come from the API reference, "Push Notifications".
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from numbers import Rational, Real
from typing import ClassVar, TypeAlias
from urllib.parse import quote, unquote

__all__ = [
    "ExternalPassTarget",
    "ExternalTemplateTarget",
    "PassTarget",
    "SegmentTarget",
    "TagTarget",
    "TargetType",
    "TemplateTarget",
    "make_target",
]

Id: TypeAlias = str | int
_SLASHES = re.compile(r"[/\\]")

EXTERNAL_TEMPLATE_PREFIX = "id/"
"""``template_id="id/12345"``: the API reference writes the external id of a template like this."""


NUMBERED_IDS = frozenset({"pass_id", "template_id", "project_id", "segment_id"})
"""Ids that the API creates. The other ids, and tags, are chosen by the user and can be any text."""
_FLOAT_TEXT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE][+-]))([eE][+-]?\d+)?")
_FLOAT_ID = (
    " A float cannot hold every id: 16777217.0 may have been another id once. Make it text or a whole number where it "
    'comes from: dtype={{"{name}": "string"}} in pandas, CAST of the original column in SQL. Casting the float itself '
    "gives a wrong id that looks right."
)


class TargetType(str, Enum):
    """The target types. The values are what you write for ``target_type=``."""

    PASS = "pass"  # noqa: S105 (a wallet pass, not a password)
    EXTERNAL_PASS = "external_pass"  # noqa: S105
    SEGMENT = "segment"
    TAG = "tag"
    TEMPLATE = "template"
    EXTERNAL_TEMPLATE = "external_template"

    def __str__(self) -> str:
        return self.value


def clean_id(name: str, value: object) -> str:
    """Return an id as text. Refuse an id that could lead to another address than the intended one.

    :param name: the name of the argument, for the error.
    :param value: a string or an int.
    :raises ValueError: it names the argument, and says what is wrong with it and what to do.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        why = _FLOAT_ID.format(name=name) if isinstance(value, Real) and not isinstance(value, Rational) else ""
        raise ValueError(f"{name} must be a string or an int, not {type(value).__name__} ({value!r:.80}).{why}")
    text = str.__str__(value) if isinstance(value, str) else int.__repr__(value)  # for an enum: its value
    if not text.strip():
        raise ValueError(f"{name} is empty; give the id of what is to be notified.")
    if name in NUMBERED_IDS and not text.isdigit() and _FLOAT_TEXT.fullmatch(text):
        raise ValueError(f"{name} is {text!r:.80}, a number as a float is written.{_FLOAT_ID.format(name=name)}")
    if ("." in text or "%" in text) and _means_another_path(text):
        raise ValueError(
            f"{name} is {text!r:.80}: '.' or '..' between slashes means another path in a URL; no id can hold that."
        )
    if text == "None":
        raise ValueError(f"{name} is the text 'None', which is what an empty XCom or variable renders to.")
    odd = "" if text.isprintable() else text
    if bad := next((char for char in odd if unicodedata.category(char) in {"Cc", "Cs"}), None):
        raise ValueError(f"{name} holds the control character {bad!r}; remove it (id: {text!r:.80}).")
    if text != text.strip():
        raise ValueError(
            f"{name} begins or ends with blanks ({text!r:.80}). Cut them off where it comes from: a CHAR column is "
            "padded, and RTRIM or a cast to VARCHAR takes that away."
        )
    return text


@dataclass(frozen=True)
class _Target:
    """One target to notify. Its fields are the ids, with the names that users write."""

    target_type: ClassVar[TargetType]
    optional: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name in ids_of(self.target_type):
            value = getattr(self, name)
            if value is None and name in self.optional:
                continue
            object.__setattr__(self, name, clean_id(name, value))

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path between ``/v1`` and ``/notify``, unquoted."""
        raise NotImplementedError

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters, unquoted."""
        template_id = getattr(self, "template_id", None)
        return (("templateId", template_id),) if template_id is not None else ()

    @property
    def address(self) -> str:
        """Path and query after ``/v1``, quoted. It identifies the target: two spellings of one target have the same."""
        path = "".join(f"/{_quoted(segment)}" for segment in (*self.segments, "notify"))
        query = "&".join(f"{key}={_quoted(value)}" for key, value in self.query)
        return f"{path}?{query}" if query else path

    def check_sendable(self) -> None:
        """Raise :class:`ValueError` if the ids of the target are enough to delete, but not enough to send."""

    def __str__(self) -> str:
        """Return the target as logs and errors name it: ``pass 123``, ``tag vip (template_id 12345)``."""
        given = {name: getattr(self, name) for name in ids_of(self.target_type)}
        own = given.pop(_OWN_IDS[self.target_type])
        others = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        return f"{self.target_type} {own} ({others})" if others else f"{self.target_type} {own}"


@dataclass(frozen=True)
class PassTarget(_Target):
    """The holder of one pass."""

    target_type = TargetType.PASS
    pass_id: Id

    @property
    def segments(self) -> tuple[str, ...]:
        return ("pass", str(self.pass_id))


@dataclass(frozen=True)
class ExternalPassTarget(_Target):
    """The holder of one pass, named by your own id for it."""

    target_type = TargetType.EXTERNAL_PASS
    template_id: Id
    pass_external_id: Id

    @property
    def segments(self) -> tuple[str, ...]:
        return ("pass", "template", str(self.template_id), "id", str(self.pass_external_id))

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return ()


@dataclass(frozen=True)
class SegmentTarget(_Target):
    """The passes of a segment. ``template_id`` is required to send and optional to delete."""

    target_type = TargetType.SEGMENT
    optional = frozenset({"template_id"})
    project_id: Id
    segment_id: Id
    template_id: Id | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        return ("segments", str(self.project_id), str(self.segment_id))

    def check_sendable(self) -> None:
        if self.template_id is None:
            raise ValueError("template_id is missing: the API requires it to send to a segment (not to delete).")


@dataclass(frozen=True)
class TagTarget(_Target):
    """The passes of a template that carry a tag."""

    target_type = TargetType.TAG
    tag: Id
    template_id: Id

    @property
    def segments(self) -> tuple[str, ...]:
        return ("tag", str(self.tag))


@dataclass(frozen=True)
class TemplateTarget(_Target):
    """All passes of a template. ``id/...`` means the same as in the API reference: an external id follows."""

    target_type = TargetType.TEMPLATE
    template_id: Id

    def __post_init__(self) -> None:
        super().__post_init__()
        if (external_id := _external_template_id(self.template_id)) is not None:
            clean_id("template_id (after 'id/')", external_id)

    @property
    def segments(self) -> tuple[str, ...]:
        external_id = _external_template_id(self.template_id)
        return ("template", str(self.template_id)) if external_id is None else ("template", "id", external_id)

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return ()


@dataclass(frozen=True)
class ExternalTemplateTarget(_Target):
    """All passes of a template, named by your own id for it."""

    target_type = TargetType.EXTERNAL_TEMPLATE
    template_external_id: Id

    @property
    def segments(self) -> tuple[str, ...]:
        return ("template", "id", str(self.template_external_id))


Target: TypeAlias = (
    PassTarget | ExternalPassTarget | SegmentTarget | TagTarget | TemplateTarget | ExternalTemplateTarget
)

_CLASSES: dict[TargetType, type[Target]] = {
    cls.target_type: cls
    for cls in (PassTarget, ExternalPassTarget, SegmentTarget, TagTarget, TemplateTarget, ExternalTemplateTarget)
}

_OWN_IDS = {
    TargetType.PASS: "pass_id",
    TargetType.EXTERNAL_PASS: "pass_external_id",
    TargetType.SEGMENT: "segment_id",
    TargetType.TAG: "tag",
    TargetType.TEMPLATE: "template_id",
    TargetType.EXTERNAL_TEMPLATE: "template_external_id",
}
"""The id after which logs and errors call a target. The others stand in brackets."""

ID_NAMES: tuple[str, ...] = tuple(dict.fromkeys(field.name for cls in _CLASSES.values() for field in fields(cls)))
"""All ids that any target type uses, in the order of the API reference."""


@functools.cache
def ids_of(target_type: TargetType) -> tuple[str, ...]:
    """The names of the ids that a target type uses."""
    return tuple(field.name for field in fields(_CLASSES[target_type]))


def parse_target_type(value: object) -> TargetType:
    """Return the target type, or raise :class:`ValueError` that lists the six."""
    if type(value) is TargetType:  # a quick check: a batch asks for each row
        return value
    try:
        return TargetType(value)
    except ValueError:
        known = ", ".join(target_type.value for target_type in TargetType)
        raise ValueError(f"target_type is {value!r:.80}; it must be one of: {known}.") from None


def make_target(target_type: str | TargetType, ids: Mapping[str, object]) -> Target:
    """Build a target from the vocabulary that operators, rows and hook calls share.

    :param target_type: one of :class:`TargetType`.
    :param ids: ids by name; ``None`` means "not given".
    :raises ValueError: it names the id that is missing, not used by this target type, not known, or wrong.
    """
    kind = parse_target_type(target_type)
    cls = _CLASSES[kind]
    takes = ids_of(kind)
    given = {name: value for name, value in ids.items() if value is not None}
    for name in given:
        if name not in takes:
            raise ValueError(f"target_type={kind.value!r} does not take {name}; it takes {', '.join(takes)}.")
    missing = [name for name in takes if name not in given and name not in cls.optional]
    if missing:
        raise ValueError(f"target_type={kind.value!r} needs {', '.join(takes)}; {' and '.join(missing)} missing.")
    return cls(**given)  # type: ignore[arg-type]  # each field checks its value


def as_target(target: Target | Mapping[str, object]) -> Target:
    """Return a target. A mapping uses the shared vocabulary, such as ``{"target_type": "pass", "pass_id": 123}``.

    :raises ValueError: as in :func:`make_target`.
    """
    if isinstance(target, Mapping):
        ids = {name: value for name, value in target.items() if name != "target_type"}
        return make_target(target.get("target_type"), ids)  # type: ignore[arg-type]  # checked there
    if not isinstance(target, _Target):
        raise ValueError(f"target must be a target or a mapping with target_type and ids, not {target!r:.80}.")
    return target


def name_ids(ids: Mapping[str, object]) -> str:
    """Return the name of the target that a mapping stands for, or the mapping itself if it is no target."""
    try:
        return str(as_target(ids))
    except ValueError:
        return ", ".join(f"{name} {value}" for name, value in ids.items()) or "no target"


def name_address(address: str) -> str:
    """Return the name of the target that an address (:attr:`address`) stands for. An odd address stays as it is."""
    path, _, query = address.partition("?")
    template_id = unquote(query.removeprefix("templateId=")) or None
    parts = [unquote(part) for part in path.removeprefix("/").removesuffix("/notify").split("/")]
    try:
        match parts:
            case ["pass", "template", template, "id", external_id]:
                return str(ExternalPassTarget(template, external_id))
            case ["pass", pass_id]:
                return str(PassTarget(pass_id))
            case ["segments", project_id, segment_id]:
                return str(SegmentTarget(project_id, segment_id, template_id))
            case ["tag", tag]:
                return str(TagTarget(tag, template_id))  # type: ignore[arg-type]  # refused there
            case ["template", "id", external_id]:
                return str(ExternalTemplateTarget(external_id))
            case ["template", template]:
                return str(TemplateTarget(template))
            case ["ticket", ticket_id]:
                return f"ticket {ticket_id}"
    except ValueError:
        pass
    return address


def _means_another_path(text: str) -> bool:
    """Whether an id would mean something else after a gateway decoded its slashes (and perhaps its dots)."""
    for decoded in {text, unquote(text), unquote(unquote(text))}:
        segments = _SLASHES.split(decoded)
        if any(segment.partition(";")[0] in {".", ".."} for segment in segments):  # (";" begins a parameter)
            return True
    return False


def _quoted(text: str) -> str:
    # Most ids are only digits, and quoting takes the most time when rows are read. So it is done only if needed.
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


def _external_template_id(template_id: Id) -> str | None:
    text = str(template_id)
    return text.removeprefix(EXTERNAL_TEMPLATE_PREFIX) if text.startswith(EXTERNAL_TEMPLATE_PREFIX) else None
