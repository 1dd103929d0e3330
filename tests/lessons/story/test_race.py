"""Races: what is measured in which process, how figures are joined, and what is drawn of them."""

import os
import re
from contextlib import contextmanager
from math import nan

import pytest

from loopclinic.lessons.story.race import Column, Race, Result, Runner
from loopclinic.servers import ServerError

_calls = []
BAR = r"<rect [^>]*width='([\d.]+)' height='17.0' fill='var\(--lc-(\w+)\)'/>"


async def measure(way, *, amount, fails=False):
    """Report what the way returns; a process of its own imports it."""
    if fails:
        raise LookupError("no such thing")
    _calls.append(amount)
    return {"made": way(amount), "calls": len(_calls), "process": os.getpid()}


async def measure_address(way, *, url):
    return {"length": len(url)}


def _bound(found):
    return 10, f"The bound is 10, asked for {found.given['amount']}."


RACE = Race(
    measure,
    columns=(Column("Made", "made", spread=True), Column("Calls", "calls", most=True)),
    costs={"double": "twice as much"},
    bound=_bound,
    good=lambda one: one.typical("made") > 5,
    sentence=lambda found: f"{len(found.runners)} ways.",
    warm_up={"amount": 1},
)


def double(amount):
    return 2 * amount


@pytest.mark.prove
def test_each_way_is_measured_in_one_process_of_its_own_after_a_warm_up():
    factor = 3

    def triple(amount):
        return factor * amount

    found = RACE(double, triple, rounds=2, amount=3, progress=False)
    assert found["double"].typical("made") == 6
    assert found["triple"].typical("made") == 9
    assert [one["calls"] for one in found["double"].rounds] == [2, 3]
    processes = {one["process"] for runner in found.runners for one in runner.rounds}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert found.times("made", "triple", "double") == [1.5, 1.5]
    with pytest.raises(KeyError, match="there are double, triple"):
        found["single"]


@pytest.mark.prove
def test_a_service_is_started_and_its_address_given():
    @contextmanager
    def service():
        yield "http://here"

    columns = (Column("Length", "length"),)
    race = Race(measure_address, columns=columns, costs={}, service=service)
    assert race(double, rounds=1, progress=False)["double"].typical("length") == len("http://here")


@pytest.mark.prove
def test_what_fails_is_named():
    with pytest.raises(ServerError, match="LookupError: no such thing"):
        RACE(double, rounds=1, amount=3, fails=True, progress=False)


def test_a_result_is_told_with_its_spread_its_bound_and_its_costs():
    rounds = tuple({"made": made, "calls": 1.0} for made in (4.0, 6.0, 7.0))
    lost = ({"made": 3.0, "calls": nan},)
    found = Result(RACE, (Runner("double", rounds), Runner("lost", lost)), {"amount": 3})
    assert str(found).splitlines() == [
        "2 ways.",
        "double: Made 6 (4 to 7); Calls 1",
        "lost: Made 3 (3 to 3); Calls -",
        "Medians of 3 rounds, in brackets the least and the most. The bound is 10, asked for 3.",
    ]
    html = found._repr_html_()
    assert "twice as much" in html
    assert (
        html.index("2 ways.") < html.index("<svg") < html.index("<details>") < html.index("<table")
    )
    wide = {color: float(width) for width, color in re.findall(BAR, html)}
    assert wide["calm"] == pytest.approx(2 * wide["stall"], abs=0.2), "6 and 3, both from zero"
