"""What the observer in a watched process tells of stalls, and when."""

from dataclasses import replace
from types import SimpleNamespace

from loopclinic.probe import Stall
from loopclinic.runner.observer import _PATIENCE, _Watch

SENT = []
PROBE = SimpleNamespace(snapshot=lambda: None)


def told(watch, *stalls, now):
    """Return what a look at `now` sends of these stalls: kind and line of each."""
    SENT.clear()
    watch._tell_stalls(stalls, now)
    return [(one["kind"], one["stall"]["line"]) for one in SENT]


def test_a_stall_is_told_again_only_if_word_from_outside_changes_it():
    watch = _Watch(1, PROBE, SimpleNamespace(send=SENT.append), 0.0)
    first = Stall(1.0, 0.5, file="app.py", line=23)
    better = replace(first, line=15)
    assert told(watch, first, now=1.6) == [("stall", 23)]
    assert told(watch, first, now=1.7) == []
    assert told(watch, better, now=1.8) == [("amended", 15)]
    assert told(watch, better, now=1.5 + _PATIENCE) == []
    assert told(watch, first, now=1.6 + _PATIENCE) == []


def test_a_stall_without_a_line_holds_back_those_after_it_while_one_may_come():
    watch = _Watch(1, PROBE, SimpleNamespace(send=SENT.append), 0.0)
    unknown, known = Stall(1.0, 0.5), Stall(2.0, 0.2, file="app.py", line=7)
    assert told(watch, unknown, known, now=2.3) == []
    assert told(watch, unknown, known, now=1.5 + _PATIENCE) == [("stall", None), ("stall", 7)]
