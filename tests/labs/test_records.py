"""Recorded trials, judged again by the judges of today: `make record` makes them."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.labs import recorded
from tests.labs.changes import changes, changes_of_meaning, masked
from tests.labs.recorded import RECORDS, ROOT, SUBMISSIONS, load, stale

_OF_ONE_MACHINE = re.compile(
    r"(?<![\w.])/(?:tmp|home|root|usr|opt|var|work|Users)/|127\.0\.0\.1:\d|port=\d|0x[0-9a-f]{6}"
)


@pytest.mark.parametrize("number", sorted({one.lesson.number for one in SUBMISSIONS.values()}))
def test_records_of_a_lesson_are_fresh_and_judged_as_they_were(number):
    found = [
        f"{one.name}: {said}"
        for one in SUBMISSIONS.values()
        if one.lesson.number == number
        for said in troubles(one)
    ]
    assert not found, "\n".join(found)


def troubles(one: recorded.Submission) -> Iterator[str]:
    """Yield why a record can't be trusted, or its verdict is not the one that the submission's name says."""
    if not one.record.exists():
        yield f"not recorded: {one.command}"
        return
    kept, text = load(one.record), one.text()
    if (trouble := stale(one, kept)) is not None:
        yield f"{trouble}. {one.command}"
    for seed, trial in kept["trials"].items():
        new = recorded.judged(one, trial, int(seed), text)
        if new != trial["verdict"]:
            keep = f'Keep it by make record ARGS="--judge -k {one.name}"'
            yield f"seed {seed} is judged otherwise than it was. {keep}"
            yield from map(str, changes(trial["verdict"], new))
        if not one.agrees(new):
            yield f"seed {seed}: the name says otherwise: {new}"
        for reason in new["reasons"]:
            for said in (reason["sentence"], reason.get("next_step", ".")):
                if not said.endswith((".", "!", "?", ")")) or ".." in said.replace("...", ""):
                    yield f"seed {seed}: no whole sentence: {said}"


def test_no_record_is_of_a_submission_that_is_gone():
    known = {one.record for one in SUBMISSIONS.values()}
    gone = sorted(path.relative_to(ROOT).as_posix() for path in {*RECORDS.rglob("*.json")} - known)
    assert not gone, f"remove these, whose submission is gone: {' '.join(gone)}"


def test_records_hold_nothing_of_one_machine():
    for path in RECORDS.rglob("*.json"):
        text = json.dumps(load(path))
        found = _OF_ONE_MACHINE.search(text)
        assert found is None, f"{path.name}: {text[found.start() - 80 : found.end() + 80]}"


# What makes the tests above fail.


@pytest.fixture
def one():
    return SUBMISSIONS["01-half_p7_select__blocking-retry"]


@pytest.fixture
def record(one):
    return load(one.record)


def test_a_judge_that_says_something_else_is_noticed(one, record, monkeypatch):
    from loopclinic.lessons.core import verdicts

    trial = record["trials"]["1"]
    monkeypatch.setattr(verdicts, "_COMPUTING", -1.0)
    new = recorded.judged(one, trial, 1, one.text())
    found = {change.field: change for change in changes(trial["verdict"], new)}
    assert found["conflict"].old == "blocking-retry"
    assert found["conflict"].new == "cpu-bound"
    assert found["conflict"].grave
    assert not one.agrees(new)


def test_a_text_that_changes_is_listed_old_and_new(record):
    old = record["trials"]["1"]["verdict"]
    new = copy.deepcopy(old)
    new["reasons"][0]["next_step"] = "Wait by asyncio.sleep."
    (change,) = changes(old, new)
    assert change.field == "reason 1, next_step"
    assert (change.old, change.new) == (old["reasons"][0]["next_step"], "Wait by asyncio.sleep.")
    assert not change.grave


def test_a_line_that_changes_is_grave_and_a_figure_is_none(record):
    old = record["trials"]["1"]["verdict"]
    new = copy.deepcopy(old)
    reason = new["reasons"][0]
    reason["sentence"] = reason["sentence"].replace("ms", "s")
    assert changes(old, new)
    assert not changes_of_meaning([old], new)
    reason["line"] += 1
    assert [change.grave for change in changes_of_meaning([old], new)] == [True]


def test_a_reason_that_is_gone_or_new_is_listed_whole(record):
    old = record["trials"]["1"]["verdict"]
    new = {**old, "reasons": []}
    (said,) = [one for one in changes(old, new) if one.field == "reason"]
    assert said.old.startswith(old["reasons"][0]["sentence"])
    assert said.old.endswith(old["reasons"][0]["next_step"])
    assert said.new == ""
    (said,) = [one for one in changes(new, old) if one.field == "reason 1"]
    assert said.new.startswith(old["reasons"][0]["sentence"])


def test_what_varies_between_old_trials_is_no_change(record):
    old = record["trials"]["1"]["verdict"]
    other = {**old, "reasons": [], "conflict": None}
    assert changes_of_meaning([old], other)
    assert not changes_of_meaning([old, other], other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("412 ms", "1.3 s"),
        ("3,101 tasks in 9.8 kB", "12 tasks in 1 MB"),
        ("1.31 x size", "2 x size"),
    ],
)
def test_figures_are_masked_with_their_units(one, other):
    assert masked(one) == masked(other)
    assert "#" in masked(one)


def test_a_submission_without_a_record_is_one_to_make(one):
    new = replace(one, stem="half_new__none")
    assert [*troubles(new)] == ['not recorded: make record ARGS="-k 01-half_new__none"']


def test_a_name_that_says_otherwise_is_noticed(one, monkeypatch):
    other = replace(one, stem="half_p7_select__cpu-bound")
    monkeypatch.setattr(recorded.Submission, "record", one.record)
    assert any("the name says otherwise" in said for said in troubles(other))
    assert not [*troubles(one)]


def test_what_is_stale_says_what_has_changed(one, record):
    assert stale(one, {"trials": {}}) == "no seed has been recorded"
    record["hashes"] = recorded.hashes(one) | {"what drives the lab": "another"}
    assert stale(one, record) == "changed since then: what drives the lab"


def test_ports_paths_and_process_ids_are_made_neutral():
    paths = {"/kit/labs/a.py": "lab", "/kit": "kit"}
    heard = {
        "place": {"file": "/kit/labs/a.py", "line": 7},
        "message": "/kit/b.py: no answer from 127.0.0.1:40123",
        "sessions": [{"pid": 30142, "blocked_by": [30144]}, {"pid": 30144, "blocked_by": []}],
        "seconds": 0.123456789,
    }
    assert recorded.neutral(heard, paths) == {
        "place": {"file": "lab", "line": 7},
        "message": "kit/b.py: no answer from 127.0.0.1:PORT",
        "sessions": [{"pid": 1, "blocked_by": [2]}, {"pid": 2, "blocked_by": []}],
        "seconds": 0.123456789,
    }
