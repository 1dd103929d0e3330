"""The figures by which a pass is compared with the reference are those of the reference's records."""

import pytest

from loopclinic.checks import lab_page
from loopclinic.lessons import lessons
from tests.labs.recorded import SUBMISSIONS, load

LABS = [one for one in lessons() if one.shipped is not None]
RIGHT = [one for one in SUBMISSIONS.values() if one.stem.startswith("right_")]


def passed(submission):
    """The vitals of its recorded trials."""
    return [trial["facts"]["vitals"] for trial in load(submission.record)["trials"].values()]


@pytest.mark.parametrize("one", LABS, ids=lambda one: one.number)
def test_the_reference_is_what_its_records_show(one):
    trials = passed(SUBMISSIONS[f"{one.number}-solution"])
    assert trials, f'make record ARGS="-k {one.number}-solution"'
    assert lab_page.figures_of(one), (
        f"{one.stem}/check.py: define FIGURES = (Figure(vital, what, unit, reference),), of a vital that a "
        "scene gives to `stage.vital`, about the same on every machine"
    )
    for figure in lab_page.figures_of(one):
        for vitals in trials:
            value = lab_page.figure_of(vitals, figure)
            assert value == pytest.approx(figure.reference, rel=0.07), figure.vital


def test_a_right_answer_of_another_kind_differs_and_one_of_the_same_kind_does_not():
    far = {
        one.name: bool(lab_page.difference(vitals, one.lesson))
        for one in RIGHT
        for vitals in passed(one)
    }
    assert far["01-right_plain_loop"]  # it waits without jitter
    assert not far["01-right_decorator"]
    assert far["02-right_queue_of_connections"]
    assert not far["02-right_answers_together"]
    assert far["04-right_own_iterator"]
    assert not far["04-right_pause_for_all"]
