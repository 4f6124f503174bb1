"""`param.cgi?action=listdefinitions`: which values a parameter takes, and who may write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.parameters import PATH, check_group, short_name
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_edge.vapix.text import clean

MAX_DEFINITIONS = 20_000
MAX_DEPTH = 12


@dataclass(frozen=True)
class Definition:
    """`choices` of an enumeration or a switch, none for what may be anything. `security` is four digits: who may create,
    delete, read and write (7 root, 6 administrator, 4 operator, 1 viewer)."""

    name: str
    choices: tuple[str, ...] = ()
    security: str = ""
    read_only: bool = False


class ListDefinitions(ApiRequest[dict[str, Definition]]):
    """By name without `root.`; groups the device has not are left out."""

    path = PATH
    method = "GET"
    limit = 4096 * KIB

    def __init__(self, groups: Sequence[str]) -> None:
        for group in groups:
            check_group(group)
        self.groups = [f"root.{short_name(group)}" for group in groups]

    def query(self) -> dict[str, str]:
        group = {"group": ",".join(self.groups)} if self.groups else {}
        return {"action": "listdefinitions", "listformat": "xmlschema"} | group

    def parse(self, answer: Answer) -> dict[str, Definition]:
        if answer.text.lstrip().startswith("#"):
            return {}
        try:
            root = fromstring(answer.text)
        except (ParseError, DefusedXmlException, ValueError):
            raise bad_answer("parameter definitions that are not XML") from None
        found: dict[str, Definition] = {}
        _walk(root, "", found, 0)
        return found


def _walk(element: Element, prefix: str, found: dict[str, Definition], depth: int) -> None:
    for child in element:
        tag, name = child.tag.rpartition("}")[2], clean(child.get("name"), 200)
        if depth >= MAX_DEPTH or len(found) >= MAX_DEFINITIONS:
            return
        if tag == "group":
            _walk(child, prefix + ("" if name == "root" else f"{name}."), found, depth + 1)
        elif tag == "parameter" and name:
            full = short_name(prefix + name)
            found[full] = _definition(full, child)


def _definition(name: str, element: Element) -> Definition:
    kinds = [one for one in element.iter() if one is not element]
    tags = {one.tag.rpartition("}")[2] for one in kinds}
    read_only = bool({"readonly", "const"} & tags) or any(one.get("readonly") == "true" for one in kinds)
    return Definition(name, _choices(kinds), clean(element.get("securityLevel"), 8), read_only)


def _choices(kinds: list[Element]) -> tuple[str, ...]:
    for one in kinds:
        if one.tag.rpartition("}")[2] == "bool":
            return tuple(clean(one.get(word, "")) for word in ("true", "false"))
    entries = [one for one in kinds if one.tag.rpartition("}")[2] == "entry"]
    return tuple(clean(one.get("value", "")) for one in entries[:500])
