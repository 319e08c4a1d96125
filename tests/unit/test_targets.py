"""Targets: which ones are refused, and what the server receives for the others."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_passnotify.api.protocol import delete_request, send_request
from airflow_provider_passnotify.targets import (
    ID_NAMES,
    ExternalTemplateTarget,
    PassTarget,
    SegmentTarget,
    TagTarget,
    TargetType,
    TemplateTarget,
    as_target,
    make_target,
)
from tests.clients import Call, config_for
from tests.servers import serving

IDS: dict[str, dict[str, Any]] = {
    "pass": {"pass_id": "p"},
    "external_pass": {"template_id": "t", "pass_external_id": "e"},
    "segment": {"project_id": "p", "segment_id": "s", "template_id": "t"},
    "tag": {"tag": "a", "template_id": "t"},
    "template": {"template_id": "t"},
    "external_template": {"template_external_id": "e"},
}
EVERY_ID = [(kind, name) for kind, ids in IDS.items() for name in ids]
REFUSED: list[tuple[Any, str]] = [
    ("", "empty"),
    ("  ", "empty"),
    (".", "another path"),
    ("..", "another path"),
    *(
        (f"{before}{slash}{dots}{after}", "another path")
        for dots in (".", "..")
        for slash in "/\\"
        for before, after in (("", ""), ("x", ""), ("", "/x"), ("x", "\\x"), ("x/../..", "/template/1"))
    ),
    *(
        (dots, "another path")
        for dots in (
            "../x",
            "..\\",
            "./x",
            "x/..;/y",
            "..;a=b/x",
            "%2e%2e",
            "%2E",
            "x%2F..%2Fy",
            "x%5c..",
            "x/%2e%2e/y",
            "%252e%252e",
        )
    ),
    ("a\nb", "control character"),
    ("\r\n", "empty"),
    ("a\x00b", "control character"),
    ("a\x7f", "control character"),
    ("a\x85b", "control character"),
    ("a\ud800", "control character"),
    ("None", "empty XCom"),
    *((padded, "begins or ends with blanks.*CHAR") for padded in (" a", "1000001   ", "a\u00a0", "a\u2028")),
    (True, "not bool"),
    (False, "not bool"),
    (1.5, "not float"),
    (b"123", "not bytes"),
    (["123"], "not list"),
]
ODD = [
    "a/b", "a/.../b", "a/.b/c", "v1.2/x", "..x/y..", "a..b", "%2F", "%41",
    "%", "a%zz", "?", "a?b=c", "#", "a#b", "a&b=c", "a+b", "a b",
    "a;b",
    "...", ".a", "~", "a:b", "@", "\\", "ä", "日本", "\U0001f600", "\u202e", "a\u2028b", "x" * 2000, "é" * 500,
    "'\"<>`{}|^[]", "id", "notify", "id/", 0, -1, 10**30,
]  # fmt: skip


class Word(str, Enum):
    VIP = "vip"


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(("kind", "name"), EVERY_ID)
@pytest.mark.parametrize(("value", "why"), REFUSED, ids=[repr(value) for value, _ in REFUSED])
def test_a_bad_id_is_refused_by_name(kind: str, name: str, value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        make_target(kind, {**IDS[kind], name: value})
    assert str(caught.value).startswith(f"{name} ")


@pytest.mark.parametrize(("kind", "name"), EVERY_ID)
@pytest.mark.parametrize("absent", ["left out", "None"])
def test_a_missing_id_is_named(kind: str, name: str, absent: str) -> None:
    ids = {key: value for key, value in IDS[kind].items() if key != name}
    if absent == "None":
        ids[name] = None
    if (kind, name) == ("segment", "template_id"):
        target = make_target(kind, ids)
        assert delete_request(target).address == "/segments/p/s/notify"
        with pytest.raises(ValueError, match="template_id is missing"):
            send_request(target, value="x")
    else:
        with pytest.raises(ValueError, match=rf"needs .*; {name} missing"):
            make_target(kind, ids)


@pytest.mark.parametrize("kind", IDS)
def test_an_id_of_another_target_is_named(kind: str) -> None:
    for name in (*ID_NAMES, "pas_id", "label"):
        if name not in IDS[kind]:
            with pytest.raises(ValueError, match=rf"target_type='{kind}' does not take {name}; it takes"):
                make_target(kind, {**IDS[kind], name: "x"})


@pytest.mark.parametrize("kind", ["", "Pass", "passes", "None", None, 1, True, ["pass"], {}, " pass"])
def test_an_unknown_target_type(kind: Any) -> None:
    with pytest.raises(ValueError, match="it must be one of: pass, external_pass, segment, tag, template, external_"):
        make_target(kind, {"pass_id": "1"})


@pytest.mark.parametrize("target", [None, "pass", 1, [], ("pass", "1")])
def test_what_is_no_target(target: Any) -> None:
    with pytest.raises(ValueError, match="target must be"):
        as_target(target)


def test_a_mapping_without_target_type() -> None:
    with pytest.raises(ValueError, match="target_type is None"):
        as_target({"pass_id": 1})


@pytest.mark.parametrize("bad", ["id/", "id/.", "id/..", "id/ ", "id/ 1"])
def test_the_external_form_is_checked_behind_its_prefix(bad: str) -> None:
    with pytest.raises(ValueError, match="template_id"):
        TemplateTarget(bad)


def test_the_external_form_is_the_external_template() -> None:
    assert TemplateTarget("id/12345").address == ExternalTemplateTarget("12345").address == "/template/id/12345/notify"
    assert TemplateTarget("id/a/b").address == ExternalTemplateTarget("a/b").address
    assert TemplateTarget("idle").address == "/template/idle/notify"


def test_numbers_and_text_are_the_same_target() -> None:
    assert PassTarget(123) == PassTarget("123")
    assert hash(PassTarget(123)) == hash(PassTarget("123"))
    assert SegmentTarget(1, 2, 3) == SegmentTarget("1", "2", "3")


@pytest.mark.parametrize(("value", "text"), [(Word.VIP, "vip"), (Number.ONE, "1")])
def test_an_enum_is_its_value(value: Any, text: str) -> None:
    assert TagTarget(value, "t") == TagTarget(text, "t")


def test_target_types_are_what_users_write() -> None:
    assert [kind.value for kind in TargetType] == list(IDS)
    assert f"{TargetType.PASS}" == "pass"


@pytest.mark.usefixtures("no_proxy")
def test_odd_ids_arrive_whole(call: Call) -> None:
    """Each id is one path segment, and the server decodes it to what was given."""
    targets = [TagTarget(odd, odd) for odd in ODD if odd != "id/"]
    with serving() as server:
        call(config_for(server.url), *(delete_request(target) for target in targets))
    assert server.connections == 1
    for target, request in zip(targets, server.received, strict=True):
        assert request.target == f"/v1{target.address}"
        path, _, query = request.target.partition("?")
        _, version, kind, tag, notify = path.split("/")
        assert (version, kind, unquote(tag), notify) == ("v1", "tag", str(target.tag), "notify")
        assert query.count("=") == 1
        assert unquote(query.removeprefix("templateId=")) == str(target.tag)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("kind", IDS)
def test_an_odd_id_cannot_reach_another_operation(call: Call, kind: str) -> None:
    odd = "x/tag/x/notify?templateId=1#"
    target = make_target(kind, dict.fromkeys(IDS[kind], odd))
    plain = make_target(kind, IDS[kind])
    with serving() as server:
        call(config_for(server.url), delete_request(target), delete_request(plain))
    odd_request, plain_request = (request.target.partition("?")[0].split("/") for request in server.received)
    assert len(odd_request) == len(plain_request)
    assert [part for part in odd_request if len(part) < 20] == [
        part for part in plain_request if part not in {*"tpsea"}
    ]
