"""Which passes exist, and how the API names them. No I/O.

The starting data makes every example request of the API reference work as it is written there.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

FIRST_EXTRA_PASS = 1_000_001
EXTRA_TEMPLATE = "20000"
EXTRA_EXTERNAL_ID = "customer-"
MAX_DIGITS = 15  # a longer id is no pass, so it is not read as a number

TEMPLATES: dict[str, Sequence[int]] = {
    "123": (223, 224, 225),
    "12345": (123, 124, 125, 126),
    "777": (323, 324, 325),
    "6789": (423, 424, 425, 426),
}
TEMPLATE_EXTERNAL_IDS = {"12345": "777"}
PASS_EXTERNAL_IDS = {("12345", "my_custom_pass_id"): 126}
TAGS: dict[tuple[str, str], Sequence[int]] = {("campaign123", "12345"): (123, 124, 125)}
SEGMENTS: dict[tuple[str, str], dict[str, Sequence[int]]] = {
    ("12345", "3b13666df-e5b3-4e42-8919-f8d63bd7ce2a"): {"6789": (423, 424, 425)},
}
PASSES = {str(number): number for members in TEMPLATES.values() for number in members}


class NotFoundError(Exception):
    """The request names something that does not exist."""


class NewPass(BaseModel):
    """A pass of your own, and its names.

    :param pass_id: a whole number from 1.
    :param template_id: the template that the pass is made from. The other names need it.
    :param external_id: your own id for the pass, unique in its template.
    :param template_external_id: your own id for the template.
    :param tags: the tags that the pass carries.
    :param segments: the segments that the pass is in, each one as a project and a segment.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    pass_id: str = Field(pattern=f"^[1-9][0-9]{{0,{MAX_DIGITS - 1}}}$")
    template_id: str | None = Field(default=None, min_length=1)
    external_id: str | None = Field(default=None, min_length=1)
    template_external_id: str | None = Field(default=None, min_length=1)
    tags: tuple[str, ...] = ()
    segments: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _names_need_a_template(self) -> NewPass:
        if self.template_id is None and (self.external_id or self.template_external_id or self.tags or self.segments):
            raise ValueError("external ids, tags and segments belong to a template: template_id is missing")
        return self


class World:
    """The passes, and how to find them by each name that the API has for them.

    A pass is a number here. The extra passes are not stored, so a million of them costs nothing.

    :param extra_passes: how many passes there are beyond the starting data: ids from 1000001, in template 20000, with
        the external ids ``customer-1``, ``customer-2``, ...
    """

    def __init__(self, extra_passes: int = 0) -> None:
        self.extra_passes = extra_passes
        self._extra = range(FIRST_EXTRA_PASS, FIRST_EXTRA_PASS + extra_passes)
        self._passes = dict(PASSES)
        self._templates = dict(TEMPLATES)
        self._template_external_ids = dict(TEMPLATE_EXTERNAL_IDS)
        self._pass_external_ids = dict(PASS_EXTERNAL_IDS)
        self._tags = dict(TAGS)
        self._segments = {segment: dict(by_template) for segment, by_template in SEGMENTS.items()}

    def add(self, new: NewPass) -> None:
        """Add a pass, or more names of an existing pass.

        :raises ValueError: if a name belongs to another pass. Then nothing is added.
        """
        number = _number(new.pass_id)
        if new.template_id is not None:
            self._check_free(number, new.template_id, new)
            self._name(number, new.template_id, new)
        self._passes[new.pass_id] = number

    def _check_free(self, number: int, template_id: str, new: NewPass) -> None:
        if template_id == EXTRA_TEMPLATE and self.extra_passes:
            raise ValueError(f"template {EXTRA_TEMPLATE} holds the {self.extra_passes} extra passes and no others")
        owner = self._pass_external_ids.get((template_id, new.external_id or ""), number)
        if owner != number:
            raise ValueError(f"external_id {new.external_id!r} of template {template_id} is that of pass {owner}")
        template = self._template_external_ids.get(new.template_external_id or "", template_id)
        if template != template_id:
            raise ValueError(f"template_external_id {new.template_external_id!r} is that of template {template}")

    def _name(self, number: int, template_id: str, new: NewPass) -> None:
        self._templates[template_id] = _with(self._templates.get(template_id, ()), number)
        if new.external_id:
            self._pass_external_ids[template_id, new.external_id] = number
        if new.template_external_id:
            self._template_external_ids[new.template_external_id] = template_id
        for tag in new.tags:
            self._tags[tag, template_id] = _with(self._tags.get((tag, template_id), ()), number)
        for segment in new.segments:
            by_template = self._segments.setdefault(segment, {})
            by_template[template_id] = _with(by_template.get(template_id, ()), number)

    def by_id(self, pass_id: str) -> Sequence[int]:
        """Return the pass that has an id."""
        number = self._passes.get(pass_id)
        if number is None:
            number = _number(pass_id)
            if number not in self._extra:
                raise NotFoundError(f"Pass not found! There is no pass {pass_id}")
        return (number,)

    def by_external_id(self, template_id: str, external_id: str) -> Sequence[int]:
        """Return the pass of a template that has an external id."""
        number = self._pass_external_ids.get((template_id, external_id))
        if number is None and template_id == EXTRA_TEMPLATE and external_id.startswith(EXTRA_EXTERNAL_ID):
            number = FIRST_EXTRA_PASS - 1 + _number(external_id.removeprefix(EXTRA_EXTERNAL_ID))
            number = number if number in self._extra else None
        if number is None:
            raise NotFoundError(f"Pass not found! Please pass a valid external Id instead of {external_id}")
        return (number,)

    def of_template(self, template_id: str) -> Sequence[int]:
        """Return the passes of a template."""
        if template_id == EXTRA_TEMPLATE and self.extra_passes:
            return self._extra
        if template_id not in self._templates:
            raise NotFoundError(f"Template not found! There is no template {template_id}")
        return self._templates[template_id]

    def of_external_template(self, external_id: str) -> Sequence[int]:
        """Return the passes of the template that has an external id."""
        if external_id not in self._template_external_ids:
            raise NotFoundError(f"Template not found! Please pass a valid external Id instead of {external_id}")
        return self._templates[self._template_external_ids[external_id]]

    def of_tag(self, tag: str, template_id: str) -> Sequence[int]:
        """Return the passes of a template that carry a tag."""
        if (tag, template_id) not in self._tags:
            raise NotFoundError(f"Tag not found! There is no tag {tag} on template {template_id}")
        return self._tags[tag, template_id]

    def of_segment(self, project_id: str, segment_id: str, template_id: str | None) -> Sequence[int]:
        """Return the passes of a segment: those of one template, or all of them."""
        by_template = self._segments.get((project_id, segment_id))
        if by_template is None:
            raise NotFoundError(f"Segment not found! There is no segment {segment_id} in project {project_id}")
        if template_id is None:
            return tuple(number for members in by_template.values() for number in members)
        if template_id not in by_template:
            raise NotFoundError(f"Segment not found! Segment {segment_id} has no passes of template {template_id}")
        return by_template[template_id]


def _with(members: Sequence[int], number: int) -> Sequence[int]:
    return members if number in members else (*members, number)


def _number(digits: str) -> int:
    """Return the number, or 0 if it is not written in the usual way. So ``007`` does not find pass 7."""
    if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) <= MAX_DIGITS:
        return int(digits)
    return 0
