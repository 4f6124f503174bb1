"""Changing the account a device is used with, so that no interruption loses it; free of I/O.

    keep -> set -> try the new -> use it -> its ONVIF account -> try the old -> done

What the device did when an answer is lost, or when the edge host stopped in the middle, is found out by trying: the
new one first. Only when both are refused is the device lost to us, and both stay kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Step(StrEnum):
    KEEP = "keep"  # write the candidate down
    SET = "set"  # tell the device
    TRY_NEW = "try_new"
    USE = "use"  # the candidate is what is used from now on
    ONVIF = "onvif"  # an ONVIF account of the same name gets the same password
    TRY_OLD = "try_old"
    DROP = "drop"  # forget the candidate
    DONE = "done"
    FAILED = "failed"  # the device goes on with the old one
    APART = "apart"  # the new one is used, but its ONVIF account has the former password
    BOTH = "both"  # the new one is used, but the old one still works
    LOST = "lost"  # the device takes neither


class Told(StrEnum):
    """What the device said to the change."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Facts:
    """What is known. `keep_old`: the old account stays as it is (the new one is another account)."""

    keep_old: bool = False
    kept: bool = False
    told: Told | None = None
    new_works: bool | None = None
    used: bool = False
    onvif: bool | None = None  # in step, or there is none
    old_works: bool | None = None
    dropped: bool = False
    sets: int = 0

    @classmethod
    def interrupted(cls, *, keep_old: bool) -> Facts:
        """A candidate was found: whether the device knows it is not known."""
        return cls(keep_old=keep_old, kept=True, told=Told.UNKNOWN)


MAX_SETS = 2


def next_step(facts: Facts) -> Step:
    if not facts.kept:
        return Step.KEEP
    if facts.used:
        return _check_old(facts)
    if facts.told is None:
        return Step.SET
    if facts.told is not Told.NO and facts.new_works is None:
        return Step.TRY_NEW
    if facts.new_works:
        return Step.USE
    return _not_taken(facts)


def _check_old(facts: Facts) -> Step:
    if facts.onvif is None:
        return Step.ONVIF
    if facts.keep_old or facts.old_works is False:
        return Step.DONE if facts.onvif else Step.APART
    return Step.TRY_OLD if facts.old_works is None else Step.BOTH


def _not_taken(facts: Facts) -> Step:
    if facts.dropped:
        return Step.FAILED
    if facts.old_works is None:
        return Step.TRY_OLD
    if not facts.old_works:
        # It refuses what we have, and what we had: nothing is thrown away.
        return Step.LOST
    return Step.SET if facts.told is Told.UNKNOWN and facts.sets < MAX_SETS else Step.DROP


def told(facts: Facts, answer: Told) -> Facts:
    """After a SET: what was found out before it holds no more."""
    return replace(facts, told=answer, new_works=None, old_works=None, sets=facts.sets + 1)
