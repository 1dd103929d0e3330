"""The controls' values: refused where they make no sense, and said in words."""

import json

import pytest

from loopclinic.lessons.playground.settings import Settings, in_words


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 0}, "above zero"),
        ({"bursts": -1}, "0 or more"),
        ({"share": 1.5}, "between 0 and 1"),
        ({"limit": 0}, "None for no limit"),
        ({"how": "magic"}, "one of sleep, query, cpu, gil"),
        ({"remedy": "hope"}, "one of none, thread"),
        ({"colour": 1}, "no control named colour"),
    ],
)
def test_what_makes_no_sense_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Settings.of(values)


def test_there_and_back_through_json():
    settings = Settings(rate=30, limit=4, how="gil", remedy="process")
    assert Settings.of(json.loads(json.dumps(settings.to_dict()))) == settings


def test_the_narrowest_counts():
    assert Settings(pool=9, capacity=7).places == 7
    assert Settings(pool=9, capacity=7, limit=3).places == 3


def test_changes_in_words():
    before = Settings()
    after = before.but(rate=250, share=0.005, remedy="sized", limit=None, bursts=8, service=0.05)
    assert in_words(before.changes(after)) == (
        "250/s, bursts of 8, service 50.0 ms, 0.5 % block, sized executor"
    )
    assert in_words(before.but(limit=3).changes(before)) == "no limit"
