"""`jpg/image.cgi`: one picture."""

from __future__ import annotations

import re

from farsite_edge.vapix.errors import bad_answer
from farsite_edge.vapix.request import KIB, Answer, ApiRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_RESOLUTION = re.compile(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")


class GetSnapshot(ApiRequest[bytes]):
    """A JPEG. `resolution` is `640x360`, one of `Properties.Image.Resolution`; `compression` 0 (best) to 100."""

    path = "/axis-cgi/jpg/image.cgi"
    method = "GET"
    limit = 20 * 1024 * KIB

    def __init__(
        self, resolution: str | None = None, camera: int | None = None, compression: int | None = None
    ):
        if resolution is not None and not _RESOLUTION.fullmatch(resolution):
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "A resolution is written like 640x360.")
        if compression is not None and not 0 <= compression <= 100:
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "Compression is 0 to 100.")
        if camera is not None and not 1 <= camera <= 99:
            raise FarsiteError(ErrorCode.INVALID_REQUEST, "A view is numbered from 1.")
        given = {"resolution": resolution, "camera": camera, "compression": compression}
        self.options = {name: str(value) for name, value in given.items() if value is not None}

    def query(self) -> dict[str, str]:
        return self.options

    def parse(self, answer: Answer) -> bytes:
        if not answer.body.startswith(b"\xff\xd8"):
            raise bad_answer("something else than a JPEG picture")
        return answer.body
