"""Fixtures: a room on a fake clock, and learners' entries."""

import json

import pytest

from loopclinic.lessons.start_here.lesson_plans import ROUTES
from loopclinic.room.live_room import LiveRoom

HERE = "192.0.2.7"
PASSED = "2026-03-02T10:00:00+00:00"


class Clock:
    """Seconds, as the test says."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def minutes(self, many):
        self.now += 60 * many


def lab(attempts=1, *, passed=False, found=(), status=None):
    return {
        "attempts": attempts,
        "hints": 0,
        "passed_at": PASSED if passed else None,
        "last_status": status or ("passed" if passed else "not-yet"),
        "last_conflicts": list(found),
        "last_checked": PASSED,
        "solution_seen": None,
        "met": dict.fromkeys(found, 1),
    }


def entry(at="01", *, name=None, lessons=None, guesses=None, **more):
    """Return an entry as it is sent."""
    made = {"schema": 1, "lessons": lessons or {}, "guesses": guesses or {}, "at": at, **more}
    return json.dumps(made if name is None else {**made, "name": name}).encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def room(clock):
    return LiveRoom(next(one for one in ROUTES if one.name == "90 minutes"), clock)


@pytest.fixture
def seated(room):
    """Return a function that seats a learner with an entry, and returns the key."""

    def seat(*given, **more):
        key = room.join(room.token, HERE)
        room.update(key, entry(*given, **more), HERE)
        return key

    return seat
