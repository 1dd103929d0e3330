"""Recall and precision on the labelled corpus, direct and through calls, each part by itself."""

import pytest

from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING
from tests.scanner.measuring import CORPUS, PARTS, measure


@pytest.fixture(scope="module")
def measured():
    return {part: measure(CORPUS / part) for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_what_the_scanner_must_reach(measured, part):
    found = measured[part]
    print(f"\n{part}: {found}")
    wrong = "\n".join([str(found), "missed:", *found.missed, "false:", *found.false])
    assert found.recall("expect") >= 0.90, wrong
    assert found.recall("expect-via") >= 0.80, wrong
    assert found.precision >= 0.97, wrong


def test_each_conflict_is_found_or_said_to_be_shown_by_a_running_program_only(measured):
    found = set().union(*(one.kinds for one in measured.values()))
    assert found == CONFLICTS.keys() - SHOWN_RUNNING


def test_the_corpus_is_large_enough(measured):
    labels = sum((one.labels for one in measured.values()), start=type(measured["own"].labels)())
    assert labels["expect"] + labels["expect-via"] >= 200
    assert labels["clean"] >= 150
    own = measured["own"].labels
    assert own["expect"] + own["expect-via"] >= 100
    assert own["clean"] >= 75
