"""Tags: how they are written, and which of two changes counts. Free of I/O."""

from __future__ import annotations

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import MAX_TAG, TagMark


def plain_tag(text: str) -> str:
    """Without spaces around it; upper and lower case are different letters of one tag. Raises `invalid_request`."""
    tag = " ".join(text.split()).casefold()
    if not tag or len(tag) > MAX_TAG or clean(tag) != tag or "," in tag:
        detail = f"{text[:80]!r} is no tag: 1 to {MAX_TAG} letters on one line, without a comma."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return tag


def newer(mark: TagMark, known: TagMark | None) -> bool:
    """Whether a mark takes the place of the one that is known: the later one does; of two of one time, putting on."""
    if known is None or mark.at > known.at:
        return True
    return mark.at == known.at and mark.on and not known.on
