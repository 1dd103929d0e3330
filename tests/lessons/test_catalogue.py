"""The catalogue: its order, how a lesson is found, what lessons name of each other."""

import pytest

from loopclinic.conflicts import TREATMENTS
from loopclinic.lessons import UnknownLessonError, lesson, lessons
from loopclinic.lessons.catalogue import graded, words
from loopclinic.servers import SERVICES

ALL = pytest.mark.parametrize("one", lessons(), ids=lambda one: one.name)


def test_order_is_by_number_and_numbers_differ():
    numbers = [one.number for one in lessons()]
    assert numbers == sorted(set(numbers))
    assert numbers[:2] == ["00", "01"]


@pytest.mark.parametrize("key", ["01", "1", 1, "blocking_sleep", "01_blocking_sleep.py"])
def test_a_lesson_is_found_by(key):
    assert lesson(key).name == "01_blocking_sleep"


def test_unknown_lesson_names_the_known_ones():
    with pytest.raises(UnknownLessonError, match="01_blocking_sleep"):
        lesson("77")


@ALL
def test_what_a_lesson_names_is_there(one):
    assert set(one.requires) <= {other.number for other in lessons() if other.number < one.number}
    assert set(one.services) <= set(SERVICES)


@ALL
def test_conflicts_are_treated_by_the_lesson_that_names_them_soonest(one):
    soonest = {}
    for _, order, conflict in sorted(
        (place, order, conflict)
        for order, other in enumerate(lessons())
        for place, conflict in enumerate(other.conflicts)
    ):
        soonest.setdefault(conflict, lessons()[order])
    due = {conflict: (one.name, one.title) for conflict, by in soonest.items() if by == one}
    stated = {conflict: told for conflict, told in TREATMENTS.items() if told[0] == one.name}
    assert stated == due, "\n".join(_mistreated(one, stated, due, soonest))


def _mistreated(one, stated, due, soonest):
    where = "src/loopclinic/conflicts.py, _TREATED"
    for conflict in due.keys() - stated.keys():
        if conflict not in TREATMENTS:
            yield f"{where}: add {conflict}, which {due[conflict]} treats"
            continue
        name, _ = TREATMENTS[conflict]
        yield (
            f"{one.stem}/__init__.py: it names {conflict} sooner in its `conflicts` than {name}, which treats "
            f"that: name it later, or not at all. If {one.name} is to treat it, move it in {where}."
        )
    for conflict in stated.keys() - due.keys():
        by = soonest.get(conflict)
        yield f"{where}: {conflict} is not {one.name}'s: {by.name if by else 'nobody'} names it soonest"
    for conflict in stated.keys() & due.keys():
        if stated[conflict] != due[conflict]:
            yield f"{where}: {conflict} is treated by {due[conflict]}"


@ALL
def test_a_contract_has_five_promises_at_least(one):
    few = one.shipped is not None and len(one.promises) < 5
    assert not few, f"{one.contract}: write five promises at least, not {len(one.promises)}"


def test_first_lesson_needs_no_lab():
    assert lesson("00").shipped is None
    assert lesson("00").minutes == 10


def test_hints_are_the_three_paragraphs_of_a_text():
    assert graded("\n  Look\n  here.\n\n  Change it.\n\n  So.\n") == (
        "Look here.",
        "Change it.",
        "So.",
    )
    with pytest.raises(ValueError, match="unpack"):
        graded("One.\n\nTwo.")


def test_names_are_the_words_of_a_text():
    assert words("nested-loop  missing-deadline ") == ("nested-loop", "missing-deadline")
