"""The moving test picture: a gradient in the device's own colour, a bar that walks across, its name and a clock."""

from __future__ import annotations

import colorsys
import hashlib
import io
from datetime import UTC, datetime
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

FRAMES_PER_SECOND = 10
SECONDS_ACROSS = 8.0  # how long the bar takes from edge to edge
MAX_PIXELS = 3840 * 2160


class TestPicture:
    """Draws frames of one device. A frame is drawn once, however many look at it."""

    __test__ = False  # not a test class, whatever its name suggests

    def __init__(self, title: str, serial: str) -> None:
        self._lines = (title, serial)
        self._hue = int(hashlib.sha256(serial.encode()).hexdigest()[:4], 16) / 0xFFFF
        self._last: dict[tuple[int, int, int], tuple[int, bytes]] = {}

    def frame(self, width: int, height: int, at: float, compression: int = 30) -> bytes:
        """JPEG of the moment `at` (seconds since the epoch). `compression` is 0 (best) to 100."""
        number = int(at * FRAMES_PER_SECOND)
        key = (width, height, compression)
        cached = self._last.get(key)
        if cached is None or cached[0] != number:
            cached = number, self._draw(width, height, number / FRAMES_PER_SECOND, compression)
            self._last = {key: cached} if len(self._last) > 4 else self._last | {key: cached}
        return cached[1]

    def _draw(self, width: int, height: int, at: float, compression: int) -> bytes:
        picture = _background(width, height, round(self._hue, 3)).copy()
        draw = ImageDraw.Draw(picture)
        bar = max(4, width // 24)
        left = int((at % SECONDS_ACROSS) / SECONDS_ACROSS * (width + bar)) - bar
        draw.rectangle((left, 0, left + bar, height), fill=(245, 245, 245))
        clock = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]
        self._write(draw, height, (*self._lines, f"{clock} UTC"))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=max(5, 95 - int(compression * 0.8)))
        return out.getvalue()

    def _write(self, draw: ImageDraw.ImageDraw, height: int, lines: tuple[str, ...]) -> None:
        size = max(8, height // 14)
        font = _font(size)
        for row, line in enumerate(lines):
            place = (size // 2, size // 2 + row * int(size * 1.3))
            draw.text(
                place, line, font=font, fill="white", stroke_width=max(1, size // 16), stroke_fill="black"
            )


@lru_cache(maxsize=64)
def _background(width: int, height: int, hue: float) -> Image.Image:
    dark, light = (_colour(hue, value) for value in (0.25, 0.75))
    slope = Image.linear_gradient("L").resize((width, height))
    return Image.composite(
        Image.new("RGB", (width, height), light), Image.new("RGB", (width, height), dark), slope
    )


def _colour(hue: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6, value)
    return int(red * 255), int(green * 255), int(blue * 255)


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
