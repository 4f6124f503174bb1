"""`serverreport.cgi`: what the vendor's support wants to see, up to many megabytes."""

from __future__ import annotations

from farsite_edge.vapix.request import Answer, ApiRequest

MODES = ("text", "zip", "zip_with_image")
LIMIT = 512 * 1024 * 1024


class GetServerReport(ApiRequest[None]):
    """Streamed, never parsed. The device may think for minutes before its first byte."""

    path = "/axis-cgi/serverreport.cgi"
    method = "GET"
    limit = LIMIT

    def __init__(self, mode: str = "zip") -> None:
        self.mode = mode

    def query(self) -> dict[str, str]:
        return {"mode": self.mode}

    def parse(self, answer: Answer) -> None:
        return None
