"""The upgrade machine against any device: it ends, in time, and never does what must not be done."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from farsite_edge.axis_os import exchange as x
from farsite_edge.axis_os.limits import Limits
from farsite_edge.axis_os.machine import UpgradeMachine
from farsite_edge.axis_os.memory import Memory, Stage
from farsite_edge.axis_os.plan import Hop, Plan
from farsite_edge.tasks.record import Outcome
from farsite_signaling.wire.edge_tasks import WorkState

LIMITS = Limits(poll=5, answer=60, restart=300, settle=100, busy=200, rollback_minutes=30, attempts=3)
OLD, NEW = "11.11.1", "11.11.2"
PLAN = Plan(model="P", hops=[Hop(version=NEW, image="0" * 64, size=1)])


def answer(action: x.Action, chance: Random) -> x.Event:
    """Any answer the question can have, sensible or not."""
    said = "said"
    trouble: list[x.Event] = [x.LoginRefused(said), x.Unreachable(said), x.Wrong(said)]
    code = chance.choice([404, 409, 412, 421, 423, 500])
    refused = x.Refused(code, said)
    versions = [OLD, NEW, NEW, "11.11.3", "11.11.0", ""]
    active, inactive = chance.choice([OLD, NEW]), chance.choice([None, "", OLD])
    match action:
        case x.AskReady():
            boot = chance.choice([None, "a", "b", "c"])
            sensible: list[x.Event] = [x.Ready(chance.random() < 0.8, chance.random() < 0.05, boot)]
            return chance.choice([*sensible * 5, *trouble[1:]])
        case x.AskInfo():
            return chance.choice(
                [x.Info(chance.choice(versions), chance.choice(["P", "P", "P", "Q", ""]))] * 6 + trouble
            )
        case x.AskStatus():
            status = x.Status(active, inactive, chance.choice([None, True, False]))
            return chance.choice([status] * 6 + [refused, *trouble])
        case x.Upload():
            broken = x.Broken(said, chance.random() < 0.5)
            return chance.choice([x.Accepted(), x.Accepted(), broken, refused, *trouble])
        case _:
            return chance.choice([x.Accepted(), x.Accepted(), refused, *trouble])


class Watch:
    """What the device was told, and the last version it named."""

    def __init__(self) -> None:
        self.uploads = 0
        self.seen = ""
        self.done: list[str] = []

    def saw(self, event: x.Event) -> None:
        if isinstance(event, x.Info):
            self.seen = event.version
        elif isinstance(event, x.Status):
            self.seen = event.active


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["upgrade", "upgrade", "rollback"]))
def test_whatever_the_device_says(seed: int, kind: str) -> None:
    chance = Random(seed)
    plan = PLAN.model_copy(update={"kind": kind, "hops": PLAN.hops if kind == "upgrade" else []})
    now, watch = 1000.0, Watch()
    machine = UpgradeMachine.begin(plan, LIMITS, now)
    for _ in range(5000):
        action = machine.action(now)
        if isinstance(action, Outcome):
            break
        if isinstance(action, x.Wait):
            now += action.seconds
            machine.waited()
            continue
        now = step(machine, action, chance, watch, now)
        if chance.random() < 0.03:
            memory = Memory.model_validate_json(machine.memory.model_dump_json())
            if memory.stage is not Stage.DONE:
                machine = UpgradeMachine.resume(plan, memory, LIMITS, now)
    assert isinstance(action, Outcome) and action.state.finished
    assert action.detail
    if action.state is WorkState.SUCCEEDED and kind == "upgrade":
        assert watch.seen == NEW and watch.uploads
    if action.state is WorkState.SKIPPED:
        assert not watch.uploads


def step(machine: UpgradeMachine, action: x.Action, chance: Random, watch: Watch, now: float) -> float:
    if isinstance(action, x.Upload):
        machine.upload_begins()
        watch.uploads += 1
        assert machine.memory.uploads <= LIMITS.attempts
        assert action.auto_commit == "never" and action.auto_rollback == "30"
    if isinstance(action, x.Commit):
        assert watch.seen == NEW
    event = answer(action, chance)
    watch.saw(event)
    # A device that only ever answers must come to an end too: time goes on with every answer.
    now += chance.choice([1.0, 20.0])
    machine.feed(event, now)
    return now


def test_a_downgrade_lets_the_device_commit_by_itself() -> None:
    plan = PLAN.model_copy(update={"factory_default": "hard"})
    machine = UpgradeMachine.begin(plan, LIMITS, 0)
    machine.feed(x.Ready(True, boot_id="a"), 1)
    machine.feed(x.Info("12.1.1", "P"), 2)
    machine.feed(x.Status("12.1.1", None, None), 3)
    action = machine.action(4)
    assert isinstance(action, x.Upload)
    assert (action.auto_commit, action.factory_default) == ("started", "hard")
    machine.upload_begins()
    machine.feed(x.Accepted(), 5)
    machine.feed(x.Ready(True, setup_required=True, boot_id="b"), 6)
    assert machine.action(7) == x.AskInfo(public=True)
    machine.feed(x.Info(NEW, "P"), 8)
    outcome = machine.action(9)
    assert isinstance(outcome, Outcome) and outcome.state is WorkState.SUCCEEDED


def test_artpec_8_takes_nothing_old_any_more() -> None:
    plan = Plan(model="P", hops=[Hop(version="10.11.1", image="0", size=1)], factory_default="hard")
    machine = UpgradeMachine.begin(plan, LIMITS, 0)
    machine.feed(x.Ready(True, boot_id="a"), 1)
    machine.feed(x.Info("11.6.1", "P", "Axis Artpec-8"), 2)
    outcome = machine.action(3)
    assert isinstance(outcome, Outcome) and "10.12" in outcome.detail
