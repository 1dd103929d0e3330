"""Finding the learner's line in stacks of tasks and errors."""

import linecache
from pathlib import Path

import loopclinic
from loopclinic.lessons.core.stacks import learners, raised_at, related


def test_a_line_without_a_file_is_told_by_the_line_that_made_it():
    try:
        exec("1 / 0", {})
    except ZeroDivisionError as error:
        place = raised_at(error)
    assert place.file == __file__
    assert place.code.startswith("exec(")
    assert place.code == linecache.getline(__file__, place.line).strip()


def test_a_lab_is_the_learners_and_the_house_around_it_is_not(tmp_path):
    house = Path(loopclinic.__file__).parent
    assert learners(str(tmp_path / "01_blocking_sleep.py"))
    assert not learners(str(house / "lessons" / "catalogue.py"))
    assert not learners(str(house / "lessons" / "sync_database" / "check.py"))


def test_what_an_error_came_in_the_midst_of_is_told_where_asked_for():
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904
    except ValueError as error:
        plain, every = list(related(error)), list(related(error, contexts=True))
    assert [type(one) for one in plain] == [ValueError]
    assert [type(one) for one in every] == [ValueError, KeyError]
