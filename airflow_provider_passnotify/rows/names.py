"""The names of columns: the shared vocabulary, and which spellings of it are understood."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from airflow_provider_passnotify.targets import ID_NAMES

KEYS = ("target_type", *ID_NAMES, "value", "label", "dedupe_key")
"""The keys that a row may have. Every other column is for templates, or is a mistake."""
NEAR = 0.8
"""A column name that is at least this similar to a key may be a misspelt key."""

_SEPARATORS = re.compile(r"[\s_-]+")


def _squeezed(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


_BY_SPELLING = {_squeezed(key): key for key in KEYS}
_MISTAKEN = {"notificationlabel": "label", "targetid": "target_type"}


def column_name(name: str) -> str:
    """Return the key that a column name means. Upper and lower case, blanks, ``_`` and ``-`` make no difference.

    :return: one of :data:`KEYS`, or the name of another column in lower case.
    """
    return _BY_SPELLING.get(_squeezed(name)) or name.strip().lower()


def nearest_key(name: str) -> str | None:
    """Return the key that a misspelt column name may mean, or ``None``."""
    squeezed = _squeezed(name)
    if squeezed in _MISTAKEN:
        return _MISTAKEN[squeezed]
    best, found = NEAR, None
    matcher = SequenceMatcher(b=squeezed)  # SequenceMatcher prepares its second text, so it is set only once
    for spelling, key in _BY_SPELLING.items():
        matcher.set_seq1(spelling)
        if matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and matcher.ratio() >= best:
            best, found = matcher.ratio(), key
    return found
