"""Every lesson is whole: what commands, checks and prose rely on."""

import ast
import importlib

import pytest

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import Budget, UnknownLessonError, lesson, lessons, treatments
from loopclinic.lessons.core import Check
from loopclinic.lessons.rehearsed import check_module, check_of
from loopclinic.servers import SERVICES

ROOT = __import__("pathlib").Path(__file__).parents[2]
ALL = pytest.mark.parametrize("one", lessons(), ids=lambda one: one.name)
LABS = pytest.mark.parametrize(
    "one", [one for one in lessons() if one.shipped], ids=lambda one: one.name
)


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
def test_facts_of_a_lesson(one):
    assert one.minutes > 0
    assert one.title
    assert one.summary.endswith(".")
    assert set(one.conflicts) <= set(CONFLICTS)
    assert set(one.requires) <= {other.number for other in lessons() if other.number < one.number}
    assert set(one.services) <= set(SERVICES)
    assert set(one.conflicts) <= set(treatments())
    if one.conflicts:
        assert treatments()[one.conflicts[0]] == (one.name, one.title)


@LABS
def test_facts_of_a_lab(one):
    assert len(one.hints) == 3
    assert len(set(one.hints)) == 3
    module = importlib.import_module(check_module(one.package))
    budgets = [value for value in vars(module).values() if isinstance(value, Budget)]
    budgets += one.budgets.values()
    assert budgets
    assert all(budget.limit > 0 and len(budget.reason) > 30 for budget in budgets)
    assert one.deadline <= 30
    assert (ROOT / "labs" / one.shipped.name).exists()


@LABS
def test_promises_of_a_contract_are_numbered(one):
    promises = one.promises
    assert list(promises) == list(range(1, len(promises) + 1))
    assert len(promises) >= 5
    assert all(text.endswith(".") and "\n" not in text for text in promises.values())


@LABS
def test_scenes_put_every_promise_to_the_test(one):
    check = check_of(one.package)
    if isinstance(check, Check):
        tested = {number for scene in check.scenes for number in scene.promises}
        assert tested | {check.leaves_nothing} == set(one.promises)
        assert len({scene.name for scene in check.scenes}) == len(check.scenes)


@LABS
def test_solution_has_the_same_public_names(one):
    solution = ROOT / "solutions" / one.shipped.name
    for path in (one.contract, solution / one.contract.relative_to(one.shipped)):
        tree = ast.parse(path.read_text())
        defined = {node.name for node in tree.body if hasattr(node, "name")}
        imported = {
            name.asname or name.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        }
        assert set(one.public) <= defined | imported, path


@LABS
def test_lab_says_how_it_is_judged(one):
    text = ast.get_docstring(ast.parse(one.contract.read_text()))
    assert f"loopclinic check {one.number}" in text
    for name in one.public:
        assert name in text


def test_first_lesson_needs_no_lab():
    assert lesson("00").shipped is None
    assert lesson("00").minutes == 10
