"""The content of the widget beside a lab."""

import ast
import itertools

import pytest

from loopclinic.checks import lab_files, lab_page, progress
from loopclinic.lessons import lesson, lessons
from loopclinic.verdict import Promise, Reason, Verdict


def bars(measured, budget):
    reason = Reason("It took too long.", measured=measured, budget=budget)
    (shown,) = lab_page.verdict_page(Verdict("01", "not-yet", (reason,)), lesson("01"))["reasons"]
    return shown["bars"]


@pytest.mark.parametrize(
    ("measured", "budget", "values"),
    [
        ("1.2 s", "500 ms", [1.2, 0.5]),
        ("still running after 501 ms", "500 ms", [0.501, 0.5]),
        ("100% busy", "40% of the time", [100, 40]),
        ("1 company", "0 companies", [1, 0]),
        ("4,250 cents", "0 cents before its commit", [4250, 0]),
        ("0.05 x limit", "at least 0.45 x limit in flight, on average", [0.05, 0.45]),
    ],
)
def test_measurement_and_budget_of_one_unit_are_drawn(measured, budget, values):
    assert bars(measured, budget)["values"] == pytest.approx(values)


@pytest.mark.parametrize(
    ("measured", "budget"),
    [
        ("1 of 2 asked", "all of them"),
        ("returned None", "InvoiceNotFound"),
        ("6 threads", "500 ms"),
        ("12 and 8", "292 and 8"),
        ("6 threads", None),
    ],
)
def test_what_has_no_common_unit_is_told_in_words_alone(measured, budget):
    shown = bars(measured, budget)
    assert shown["values"] is None
    assert (shown["measured"], shown["budget"]) == (measured, budget)


def test_a_measurement_that_ended_too_early_is_marked_as_open():
    assert bars("still running after 3.0 s", "3.0 s")["open"]
    assert not bars("3.0 s", "3.0 s")["open"]


def test_a_place_is_named_from_the_kit_and_opened_from_the_kernels_folder(kit, monkeypatch):
    monkeypatch.chdir(kit / "notebooks")
    reason = Reason("It sleeps.", file=str(kit / "labs" / "01_blocking_sleep.py"), line=76)
    (shown,) = lab_page.verdict_page(Verdict("01", "not-yet", (reason,)), lesson("01"))["reasons"]
    assert shown["file"] == "labs/01_blocking_sleep.py"
    assert shown["path"] == "../labs/01_blocking_sleep.py"
    assert shown["line"] == 76


def test_a_lab_of_many_files_opens_its_contract_and_lists_the_others(kit):
    one = lesson("13")
    lab_files.reset(one)
    shown = lab_page.lab_of(one)
    assert shown["path"].endswith("13_standardize/billing/__init__.py")
    files = [file["shown"] for file in shown["files"]]
    assert {"billing/__init__.py", "billing/service.py", "tests/test_service.py"} <= set(files)
    assert len(lab_page.contract_of(one)) == len(one.promises)


@pytest.mark.usefixtures("kit")
def test_the_contract_is_shown_whole():
    one = lesson("09")
    contract = ast.get_docstring(ast.parse(one.contract.read_text("utf-8")))
    more = lab_page.lab_of(one)["more"]
    shown = " ".join(
        f"{no}. {text} {more.get(no, '')}".strip() for no, text in one.promises.items()
    )
    assert more[5] == "`window` seconds later the key is free again."
    assert shown in " ".join(contract.split())


@pytest.mark.usefixtures("kit")
def test_the_next_lesson_is_the_one_with_the_next_number():
    numbers = [one.number for one in lessons() if one.number not in {"90", "91"}]
    for number, following in itertools.pairwise(numbers):
        assert f"notebooks/{following}_" in lab_page.next_of(lesson(number))["path"]
    assert lab_page.next_of(lesson("91")) is None


def test_each_check_of_the_learners_file_is_a_save(kit, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_PROGRESS", str(kit / "progress.json"))
    one = lesson("01")
    for states, status in (("kept broken", "not-yet"), ("kept kept", "passed")):
        promises = tuple(Promise(n, state) for n, state in enumerate(states.split(), 1))
        with progress.change() as kept:
            kept.note(Verdict(one.name, status, promises=promises))
    with progress.change() as kept:
        kept.note(Verdict(one.name, "could-not-run"))
    assert lab_page.saves_of(one) == [
        {"kept": 1, "promises": 2, "passed": False},
        {"kept": 2, "promises": 2, "passed": True},
    ]


def test_a_pass_says_in_which_figure_it_differs_from_the_reference():
    one = lesson("02")
    slow = Verdict(one.name, "passed", vitals={"seconds_on_a_slow_line": 2.82})
    shown = lab_page.verdict_page(slow, one)["difference"]
    assert shown["values"] == [2.82, 1.41]
    assert shown["words"] == ["2.82 s", "1.41 s"]
    alike = Verdict(one.name, "passed", vitals={"seconds_on_a_slow_line": 1.5})
    assert lab_page.verdict_page(alike, one)["difference"] is None
    not_yet = Verdict(one.name, "not-yet", vitals={"seconds_on_a_slow_line": 2.82})
    assert lab_page.verdict_page(not_yet, one)["difference"] is None
