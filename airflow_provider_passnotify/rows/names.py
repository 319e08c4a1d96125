"""What columns are called: the shared vocabulary, and the spellings of it that are understood."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from airflow_provider_passnotify.targets import ID_NAMES

KEYS = ("target_type", *ID_NAMES, "value", "label", "dedupe_key")
"""What a row may hold; every other column is for templates, or a mistake."""
NEAR = 0.8
"""From this similarity on, a column's name may be a misspelt key."""

_SEPARATORS = re.compile(r"[\s_-]+")


def _squeezed(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


_BY_SPELLING = {_squeezed(key): key for key in KEYS}
_MISTAKEN = {"notificationlabel": "label", "targetid": "target_type"}


def column_name(name: str) -> str:
    """Return the key that a column's name means, in any case and with or without blanks, ``_`` and ``-``.

    :return: one of :data:`KEYS`, or the name of another column in lower case.
    """
    return _BY_SPELLING.get(_squeezed(name)) or name.strip().lower()


def nearest_key(name: str) -> str | None:
    """Return the key for which a column's name may be a mistake, or ``None``."""
    squeezed = _squeezed(name)
    if squeezed in _MISTAKEN:
        return _MISTAKEN[squeezed]
    best, found = NEAR, None
    matcher = SequenceMatcher(b=squeezed)  # which prepares its second text
    for spelling, key in _BY_SPELLING.items():
        matcher.set_seq1(spelling)
        if matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and matcher.ratio() >= best:
            best, found = matcher.ratio(), key
    return found
