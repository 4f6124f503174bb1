from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farsite_cloud.cluster.view import View


def test_changes_are_followed_and_gaps_noticed():
    view = View(life=5)
    assert not view.heard("a", 1, now=0), "not known yet"
    view.learn("a", 1, {"x": 10}, now=0)
    assert view.heard("a", 1, now=1)
    assert view.change("a", 2, "y", 20, now=2)
    assert (view.where("x"), view.where("y"), view.where("z")) == ("a", "a", None)
    assert view.change("a", 3, "x", None, now=3)
    assert view.where("x") is None
    assert not view.change("a", 5, "z", 30, now=4), "one was missed"
    assert not view.heard("a", 4, now=4)


def test_the_newest_place_counts_and_the_older_one_comes_back_when_it_goes():
    view = View(life=5)
    view.learn("a", 1, {"x": 10}, now=0)
    view.learn("b", 1, {"x": 20}, now=0)
    assert (view.where("x"), view.newest("x")) == ("b", (20, "b"))
    assert view.change("a", 2, "x", 30, now=0)
    assert view.where("x") == "a"
    assert view.forget("a") == ["x"]
    assert view.where("x") == "b"


def test_silence_expires_a_process():
    view = View(life=5)
    view.learn("a", 1, {"x": 1}, now=0)
    view.learn("b", 1, {}, now=0)
    view.heard("b", 1, now=3)
    assert view.expired(now=5) == []
    assert view.expired(now=6) == ["a"]
    assert view.processes() == ["a", "b"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.none() | st.integers(1, 99))))
def test_it_always_says_what_the_processes_said(changes):
    view, said, versions = View(life=5), {}, dict.fromkeys("abc", 0)
    for process in "abc":
        view.learn(process, 0, {}, now=0)
    for process, name, since in changes:
        versions[process] += 1
        assert view.change(process, versions[process], name, since, now=0)
        said.pop((name, process), None)
        if since is not None:
            said[name, process] = since
    for name in "xyz":
        at = [(since, process) for (one, process), since in said.items() if one == name]
        assert view.newest(name) == (max(at) if at else None)
