"""What was read of the cloud, by its `ETag`: so that an edit says of which state it is, and undoes nobody else's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import quote

from pydantic import BaseModel

MOST = 10_000
_EDITS = ("PATCH", "PUT", "DELETE")
# Edited at an address of their own, and read at the one above.
_PARTS = ("/deletion", "/devices", "/certificate", "/resend", "/secret")


class ReadBefore:
    """By path, the newest last. Whoever is refused because somebody else was first reads it again, then edits.

    What is read in a list has the tag of its own that the list tells.
    """

    def __init__(self) -> None:
        self._tags: OrderedDict[str, str] = OrderedDict()

    def headers(self, method: str, path: str) -> dict[str, str]:
        """`If-Match` for an edit of what was read before; nothing else has it."""
        thing = thing_at(path)
        tag = self._tags.get(thing)
        edits = method in _EDITS or (method == "POST" and thing != path)
        return {"If-Match": tag} if edits and tag is not None else {}

    def answered(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """It went well."""
        thing, tag = thing_at(path), headers.get("ETag")
        if tag is not None and method != "POST":
            self._keep(thing, tag)
        elif method != "GET":
            self._tags.pop(thing, None)

    def listed(self, path: str, answer: BaseModel) -> None:
        """What was read of a list at `path`."""
        for rows in dict(answer).values():
            for row in rows if isinstance(rows, list) else ():
                if tag := getattr(row, "etag", ""):
                    self._keep(f"{path}/{quote(row.id, safe='')}", tag)

    def _keep(self, thing: str, tag: str) -> None:
        self._tags[thing] = tag
        self._tags.move_to_end(thing)
        while len(self._tags) > MOST:
            self._tags.popitem(last=False)

    def forget(self) -> None:
        """What is edited from now on is edited whatever it is by then, until it is read again."""
        self._tags.clear()


def thing_at(path: str) -> str:
    for part in _PARTS:
        if path.endswith(part):
            return path.removesuffix(part)
    return path
