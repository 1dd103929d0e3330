"""Every lesson is complete, and each problem is reported with its repair."""

import importlib
import sys
from dataclasses import replace

import new_lesson
import pytest

import loopclinic.lessons
from loopclinic.lessons import lessons
from tests.lessons.invariants import faults, strays


@pytest.mark.parametrize("one", lessons(), ids=lambda one: one.name)
def test_lesson_is_whole(one):
    found = list(faults(one))
    assert not found, "\n".join(found)


def test_no_file_belongs_to_no_lesson():
    found = list(strays(lessons()))
    assert not found, "\n".join(found)


# What makes the tests above fail.


@pytest.fixture
def tree(tmp_path):
    """The toy lesson alone, under another number and name."""
    assert new_lesson.main(["85", "slow_supplier"], tmp_path) == 0
    return tmp_path


@pytest.fixture
def one(tree, monkeypatch):
    packages = tree / "src/loopclinic/lessons"

    monkeypatch.setattr(
        loopclinic.lessons, "__path__", [*loopclinic.lessons.__path__, str(packages)]
    )
    importlib.invalidate_caches()
    module = importlib.import_module("loopclinic.lessons.slow_supplier")
    yield module.LESSON
    for name in ("slow_supplier.check", "slow_supplier"):
        sys.modules.pop(f"loopclinic.lessons.{name}", None)


@pytest.fixture
def told(one, tree):
    """Return the only fault of the lesson, after a change."""

    def only(changed=one):
        (sentence,) = faults(changed, tree)
        return sentence

    assert list(faults(one, tree)) == []
    return only


@pytest.mark.parametrize(
    "missing",
    [
        "notebooks/85_slow_supplier.ipynb",
        "labs/85_slow_supplier.py",
        "solutions/85_slow_supplier.py",
    ],
)
def test_a_room_without_the_lesson(tree, told, missing):
    (tree / missing).unlink()
    assert told().startswith(f"{missing} is missing: ")


def test_a_lesson_without_a_check(tree, told):
    package = "loopclinic.lessons.slow_supplier"
    del sys.modules[f"{package}.check"]
    (tree / "src/loopclinic/lessons/slow_supplier/check.py").unlink()
    importlib.invalidate_caches()
    assert "slow_supplier/check.py is missing: define CHECK" in told()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\n1. It", "\n2. It", "are numbered [2]: "),
        ("loopclinic check 85", "the check", "say `loopclinic check 85` in its docstring"),
    ],
)
@pytest.mark.usefixtures("told")
def test_a_contract_that_is_hard_to_quote(one, tree, old, new, said):
    text = one.shipped.read_text()
    assert old in text
    one.shipped.write_text(text.replace(old, new))
    sentence = next(iter(faults(one, tree)))
    assert sentence.startswith(f"{one.shipped.relative_to(tree)}: ")
    assert said in sentence


def test_a_solution_without_a_public_name(tree, told):
    solution = tree / "solutions/85_slow_supplier.py"
    solution.write_text(solution.read_text().replace("lookup_price", "lookup"))
    assert told().startswith("solutions/85_slow_supplier.py: define lookup_price, or take it out")


@pytest.mark.parametrize(
    ("promises", "said"),
    [((), "no scene tests promise 1: add 1"), ((1, 2), "tests promise 2, which the contract does")],
)
def test_promises_and_scenes_that_do_not_agree(told, monkeypatch, promises, said):
    check = sys.modules["loopclinic.lessons.slow_supplier.check"]
    monkeypatch.setattr(check.Lookups, "promises", promises)
    assert f"slow_supplier/check.py: {said}" in told().replace("Lookups ", "")


def test_scenes_of_one_name(told, monkeypatch):
    check = sys.modules["loopclinic.lessons.slow_supplier.check"]
    twice = replace(check.CHECK, scenes=check.CHECK.scenes * 2)
    monkeypatch.setattr(check, "CHECK", twice)
    assert "2 scenes are called Lookups: rename one" in told()


def test_budgets_without_a_reason(told, monkeypatch):
    check = sys.modules["loopclinic.lessons.slow_supplier.check"]
    monkeypatch.setattr(check, "LATE", replace(check.LATE, reason="It felt right."))
    assert "give LATE a limit above 0, and the reason" in told()
    monkeypatch.delattr(check, "LATE")
    assert "it has no budget" in told()


def test_facts_of_the_lesson(one, told):
    assert "`hints` needs three that differ" in told(replace(one, hints=("Look.",) * 3))
    assert "`deadline` is 60 s" in told(replace(one, deadline=60.0))
    assert "no conflict is called 'slowness'" in told(replace(one, conflicts=("slowness",)))
    assert "a `summary` that ends with a full stop" in told(replace(one, summary="A wait"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("right_wait_for", "wait_for", "name it right_<what>, or half_p<promise>_"),
        ("half_p1_half_the_deadline__none", "half_p1_half_the_deadline", "name it right_<what>"),
        ("half_p1_half_the_deadline__none", "half_p2_other__none", "has no promise 2: rename it"),
        ("half_p1_half_the_deadline__none", "half_other__slow", "no conflict is called 'slow'"),
    ],
)
@pytest.mark.usefixtures("told")
def test_a_fix_whose_name_says_too_little(one, tree, old, new, said):
    fixes = tree / "tests/labs/fixes/85"
    (fixes / f"{old}.py").rename(fixes / f"{new}.py")
    sentence, *others = faults(one, tree)
    assert sentence.startswith(f"tests/labs/fixes/85/{new}.py: ")
    assert said in sentence
    assert len(others) == 1  # one fix is missing now


def test_a_promise_that_too_few_half_fixes_break(tree, told):
    next((tree / "tests/labs/fixes/85").glob("half_*")).unlink()
    assert told() == (
        "tests/labs/fixes/85: 2 half-fixes for promise 1 alone: write 1 more, "
        "half_p1_<what>__<conflict>."
    )


def test_files_that_belong_to_no_lesson(one, tree):
    assert list(strays((one,), tree)) == []
    (tree / "labs/86_other.py").touch()
    (tree / "tests/labs/fixes/86").mkdir()
    assert list(strays((one,), tree)) == [
        "labs/86_other.py belongs to no lesson: remove it, or write src/loopclinic/lessons/other.",
        "tests/labs/fixes/86 belongs to no lesson with a lab: remove it.",
    ]
