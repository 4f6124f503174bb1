"""Every way a change of password can be interrupted: the edge host ends up with what the device takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsite_edge.devices.attempts import RULES, Attempts
from farsite_edge.devices.passwords import new_name, new_password
from farsite_edge.devices.rotation import MAX_SETS, Facts, Step, Told, next_step, told

ENDS = (Step.DONE, Step.FAILED, Step.APART, Step.BOTH, Step.LOST)


@dataclass
class Device:
    """`takes`: what happens to each change; `keeps_old` is a device that goes on taking the old password."""

    password: str = "old"
    takes: tuple[str, ...] = ("yes",)  # yes, no, lost (taken, answer lost), dropped (not taken, answer lost)
    keeps_old: bool = False

    def set(self) -> Told:
        what, self.takes = self.takes[0], self.takes[1:] or self.takes
        if what in ("yes", "lost"):
            self.password = "new"
        return {"yes": Told.YES, "no": Told.NO}.get(what, Told.UNKNOWN)

    def accepts(self, password: str) -> bool:
        return password == self.password or (self.keeps_old and password == "old")


@dataclass
class Host:
    """`used` is what the edge host logs in with; `steps` what it did."""

    device: Device
    facts: Facts
    used: str = "old"
    onvif: bool = True
    candidate: bool = False
    steps: tuple[Step, ...] = ()

    def run(self, crash_after: int | None = None) -> Step | None:
        """None: it crashed after so many steps."""
        while (step := next_step(self.facts)) not in ENDS:
            if crash_after is not None and len(self.steps) >= crash_after:
                return None
            self.steps += (step,)
            assert len(self.steps) < 20
            self.do(step)
        return step

    def do(self, step: Step) -> None:
        match step:
            case Step.KEEP:
                self.candidate, self.facts = True, replace(self.facts, kept=True)
            case Step.SET:
                assert self.candidate, "the device was told of a password that was not kept"
                self.facts = told(self.facts, self.device.set())
            case Step.TRY_NEW:
                self.facts = replace(self.facts, new_works=self.device.accepts("new"))
            case Step.USE:
                self.used, self.candidate = "new", False
                self.facts = replace(self.facts, used=True)
            case Step.ONVIF:
                self.facts = replace(self.facts, onvif=self.onvif)
            case Step.TRY_OLD:
                self.facts = replace(self.facts, old_works=self.device.accepts("old"))
            case Step.DROP:
                self.candidate, self.facts = False, replace(self.facts, dropped=True)


def test_a_change_that_goes_well() -> None:
    host = Host(Device(), Facts())
    assert host.run() is Step.DONE
    assert host.steps == (Step.KEEP, Step.SET, Step.TRY_NEW, Step.USE, Step.ONVIF, Step.TRY_OLD)


@pytest.mark.parametrize(
    ("takes", "end", "used"),
    [
        (("no",), Step.FAILED, "old"),
        (("lost",), Step.DONE, "new"),
        (("dropped", "yes"), Step.DONE, "new"),
        (("dropped", "lost"), Step.DONE, "new"),
        (("dropped",), Step.FAILED, "old"),
    ],
)
def test_answers_that_are_lost_or_no(takes: tuple[str, ...], end: Step, used: str) -> None:
    host = Host(Device(takes=takes), Facts())
    assert (host.run(), host.used) == (end, used)
    assert not host.candidate


def test_a_device_that_goes_on_taking_the_old_one_is_told_of() -> None:
    host = Host(Device(keeps_old=True), Facts())
    assert (host.run(), host.used) == (Step.BOTH, "new")


def test_a_device_whose_password_is_changed_by_somebody_else() -> None:
    host = Host(Device(password="third", takes=("dropped",)), Facts())
    assert host.run() is Step.LOST
    assert host.candidate, "nothing is thrown away"


def test_an_onvif_account_that_stays_behind_is_told_of() -> None:
    host = Host(Device(), Facts(), onvif=False)
    assert (host.run(), host.used) == (Step.APART, "new")
    assert Host(Device(keeps_old=True), Facts(), onvif=False).run() is Step.BOTH


def test_another_account_leaves_the_old_one_alone() -> None:
    host = Host(Device(), Facts(keep_old=True))
    assert host.run() is Step.DONE
    assert Step.TRY_OLD not in host.steps


@pytest.mark.parametrize("takes", [("yes",), ("no",), ("lost",), ("dropped", "yes"), ("dropped",)])
@pytest.mark.parametrize("crash_after", range(7))
@pytest.mark.parametrize("set_again", [True, False])
def test_a_crash_after_every_step(takes: tuple[str, ...], crash_after: int, set_again: bool) -> None:
    """What the edge host uses in the end is what the device takes, whatever was lost."""
    device = Device(takes=takes)
    host = Host(device, Facts())
    if host.run(crash_after) is None and host.candidate:
        facts = Facts.interrupted(keep_old=False)
        facts = facts if set_again else replace(facts, sets=MAX_SETS)
        host = Host(device, facts, host.used, candidate=True)
        assert host.run() in (Step.DONE, Step.FAILED)
    assert device.accepts(host.used)
    if host.candidate:
        assert host.used == "old"


@given(st.integers(8, 64))
def test_passwords_of_all_kinds(length: int) -> None:
    password = new_password(length)
    assert len(password) == length
    assert {char.isupper() for char in password if char.isalpha()} == {True, False}
    assert any(char.isdigit() for char in password)
    assert password.isascii()
    assert password.isprintable()


def test_names_devices_take() -> None:
    assert all(name.isalnum() and len(name) <= 14 for name in (new_name() for _ in range(50)))


@given(st.floats(0.01, 30), st.lists(st.floats(0, 40), max_size=60))
def test_no_device_sees_more_refusals_than_the_rules_say(interval: float, patience: list[float]) -> None:
    """Below what makes a device block us, however impatient somebody is."""
    rule, now, refused = Attempts(interval), 1000.0, []
    for wait in patience:
        now += wait
        if rule.wait(refused, refused[-1] if refused else None, now) == 0:
            refused.append(now)
    for seconds, most in RULES:
        assert all(sum(at - seconds < one <= at for one in refused) <= most for at in refused)


def test_waiting_as_told_is_enough() -> None:
    rule, refused = Attempts(5), [0.0, 10.0, 20.0, 30.0, 40.0]
    wait = rule.wait(refused, 40.0, 41.0)
    assert 0 < wait <= 60
    assert rule.wait(refused, 40.0, 41.0 + wait) == 0


def test_a_clock_set_back_locks_nobody_out() -> None:
    assert Attempts(5).wait([10_000.0] * 5, 10_000.0, 100.0) <= 60
