"""Every example request of the API reference, and the arguments that must reproduce it.

``example_requests.txt`` holds the reference's own text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESSAGE = {"value": "20% off any one regular priced item", "label": "Last Notification"}
TARGETS: dict[str, dict[str, str]] = {
    "pass": {"pass_id": "123"},
    "external_pass": {"template_id": "12345", "pass_external_id": "my_custom_pass_id"},
    "segment": {
        "project_id": "12345",
        "segment_id": "3b13666df-e5b3-4e42-8919-f8d63bd7ce2a",
        "template_id": "6789",
    },
    "tag": {"tag": "campaign123", "template_id": "12345"},
    "template": {"template_id": "123"},
    "external_template": {"template_external_id": "12345"},
}
"""In the order of the reference."""


@dataclass(frozen=True)
class Example:
    """One example request.

    :param target: what names its target in our vocabulary.
    """

    method: str
    path_and_query: str
    headers: dict[str, str]
    body: Any
    target: dict[str, str]

    @property
    def name(self) -> str:
        """What the test is called."""
        return f"{self.method} {self.path_and_query}"


def _parse(text: str, target: dict[str, str]) -> Example:
    head, _, body = text.strip().partition("\n\n")
    line, *headers = head.split("\n")
    method, path_and_query, protocol = line.split(" ")
    assert protocol == "HTTP/1.1"
    pairs = dict(header.split(": ", 1) for header in headers)
    return Example(method, path_and_query, pairs, json.loads(body) if body else None, target)


_texts = (Path(__file__).parent / "example_requests.txt").read_text().split("=====\n")
_targets = [{"target_type": kind, **ids} for kind, ids in TARGETS.items()] * 2
EXAMPLES = [_parse(text, target) for text, target in zip(_texts, _targets, strict=True)]
"""The ten operations, and the two of external templates."""
ID_FORMS = [example for example in EXAMPLES if example.target["target_type"] == "external_template"]
"""Those that can be written ``template_id="id/12345"``, too."""
