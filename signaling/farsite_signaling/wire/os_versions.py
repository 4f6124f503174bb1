"""AXIS OS versions and the tracks they belong to; free of I/O.

Sources: help.axis.com/axis-os (tracks and long-term support, a new one every two years, supported for about five).
Ends of support are the last day of the year they are announced for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from farsite_signaling.wire.edge_tasks import OsState

Version = tuple[int, ...]


def version_tuple(version: str) -> tuple[int, ...]:
    """`9.80.2.2` as numbers, to compare versions of any length; a suffix such as `+snapshot` is ignored."""
    parts: list[int] = []
    for part in version.split("."):
        match = re.match(r"[0-9]{1,9}", part)
        if not match:
            break
        parts.append(int(match[0]))
        if match.end() != len(part):
            break
    return tuple(parts)


@lru_cache(maxsize=4096)
def parse(text: str) -> Version:
    """`9.80.2.2` -> (9, 80, 2, 2); empty for what is no version. Trailing zeros say nothing: 12.0 is 12."""
    numbers = list(version_tuple(text))
    while numbers and numbers[-1] == 0 and len(numbers) > 1:
        numbers.pop()
    return tuple(numbers)


def same(one: str, other: str) -> bool:
    return parse(one) == parse(other) and bool(parse(one))


def newest(versions: Iterable[str]) -> str | None:
    return max(versions, key=parse, default=None)


@dataclass(frozen=True)
class Track:
    """`line` is where a long-term-support track begins; the active track has none."""

    name: str
    line: Version | None
    support_end: date | None

    def supported(self, today: date) -> bool:
        if self.line is None and self.support_end is None:
            return self.name == ACTIVE
        return self.support_end is not None and today <= self.support_end


ACTIVE = "Active"
LTS = (
    Track("LTS 2016", (6, 50), date(2021, 12, 31)),
    Track("LTS 2018", (8, 40), date(2024, 3, 31)),
    Track("LTS 2020", (9, 80), date(2025, 12, 31)),
    Track("LTS 2022", (10, 12), date(2027, 12, 31)),
    Track("LTS 2024", (11, 11), date(2029, 12, 31)),
    Track("LTS 2026", (12, 11), date(2031, 12, 31)),
)
NEWEST_LTS = LTS[-1]


def track_of(version: str) -> Track:
    """Versions before a major's long-term support lead to it; majors without one are out of support."""
    number = parse(version)
    if not number:
        return Track("Unknown", None, None)
    for track in LTS:
        assert track.line is not None
        if track.line[0] == number[0]:
            early = track is NEWEST_LTS and number < track.line
            return Track(ACTIVE, None, None) if early else track
    if number[0] > LTS[-1].line[0]:  # type: ignore[index]  # every long-term support has a line
        return Track(ACTIVE, None, None)
    return Track(f"AXIS OS {number[0]}", None, None)


def in_track(version: str, track: Track) -> bool:
    """Whether a release is one of a long-term-support line."""
    number = parse(version)
    return track.line is not None and number[:1] == track.line[:1] and number >= track.line


def crosses_major(one: str, other: str) -> bool:
    return parse(one)[:1] != parse(other)[:1]


def recommended(current: str, available: Iterable[str], today: date) -> str | None:
    """The newest release of the same major while that is supported; when there is none, or support has ended, the
    next long-term support. What is returned may be of another major: see `crosses_major`."""
    number = parse(current)
    newer = [version for version in available if parse(version) > number]
    own = newest(version for version in newer if not crosses_major(version, current))
    if own is not None and track_of(current).supported(today):
        return own
    return _next_lts(newer, number) or own


def _next_lts(newer: list[str], number: Version) -> str | None:
    for track in LTS:
        assert track.line is not None
        if track.line[0] > number[0] and (found := newest(one for one in newer if in_track(one, track))):
            return found
    return None


def way(current: str, target: str, available: Iterable[str]) -> tuple[list[str], list[str]]:
    """Versions to install one after the other, ending with `target`, and the long-term-support tracks between
    for which there is no image."""
    offered = list(available)
    hops: list[str] = []
    missing: list[str] = []
    for track in LTS:
        assert track.line is not None
        if not (parse(current) < track.line and track.line[0] < parse(target)[0]):
            continue
        if found := newest(version for version in offered if in_track(version, track)):
            hops.append(found)
        else:
            missing.append(f"{track.line[0]}.{track.line[1]}")
    return [*hops, target], missing


@lru_cache(maxsize=4096)
def model_key(model: str) -> str:
    """Models are written with spaces, underscores, and with the brand before them."""
    return model.replace("_", " ").casefold().removeprefix("axis ").strip()


@dataclass(frozen=True)
class Standing:
    """Where one version of a model stands, seen from the versions that are offered for the model."""

    track: Track
    recommended: str | None
    crosses_major: bool
    state: OsState


def standing(version: str, offered: Iterable[str], today: date) -> Standing:
    return _standing(version, tuple(offered), today)


@lru_cache(maxsize=16_384)
def _standing(version: str, offered: tuple[str, ...], today: date) -> Standing:
    track = track_of(version)
    choice = recommended(version, offered, today) if parse(version) else None
    crosses = choice is not None and crosses_major(choice, version)
    return Standing(
        track, choice, crosses, _state(version, choice, crosses, bool(offered), track.supported(today))
    )


def _state(version: str, choice: str | None, crosses: bool, known: bool, supported: bool) -> OsState:
    if not known or not parse(version):
        return OsState.UNKNOWN_MODEL
    if not supported:
        return OsState.UNSUPPORTED_TRACK
    return OsState.UPDATE_AVAILABLE if choice is not None and not crosses else OsState.UP_TO_DATE
