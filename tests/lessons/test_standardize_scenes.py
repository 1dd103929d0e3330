"""Lesson 13's experiments: search results, tests run on mutants, and the versions on one invoice."""

import asyncio
import json
import shutil
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest

from loopclinic.import_path import imported
from loopclinic.lessons import lesson
from loopclinic.lessons.standardize import check, check_billing, ladder, static_check
from loopclinic.lessons.standardize.invoice_tables import lay_out, sample
from loopclinic.lessons.standardize.mutants import MUTANTS
from loopclinic.lessons.standardize.story import (
    BILLING,
    gate,
    outcomes,
    plan,
    survey,
    tests_on_mutants,
)
from loopclinic.paths import kit_root
from loopclinic.servers.postgres import postgres

SOLUTION = kit_root() / "solutions" / lesson("13").name


@pytest.fixture
def dsn():
    with postgres() as address:
        lay_out(address)
        yield address


# Searches.


async def test_searches_differ_in_the_order_that_the_lesson_tells_of():
    found = await survey()
    truth = json.loads((sample() / "counts.json").read_text("utf-8"))
    assert len({file for file, _ in found.mixed}) != truth["mixed_files"]
    assert found.calls < len(found.runs)
    assert found.calls != truth["asyncio_run_calls"]
    assert 0 < 4 * len(found.linter) < found.conflicts
    assert found.through_calls > found.conflicts / 3
    assert found.scan["counts"]["syntax_errors"] == truth["syntax_errors"]
    assert "scanner" in found.drawing().html
    assert "blocking-db" in found.kinds().text


async def test_the_linters_gate_passes_where_the_scanners_fails():
    linter, scanner = str(await gate(BILLING)).splitlines()
    assert "passes, status 0" in linter
    assert "fails, status 1" in scanner
    assert "\x1b" not in scanner


async def test_the_plan_begins_with_what_cannot_be_read():
    truth = json.loads((sample() / "counts.json").read_text("utf-8"))
    first, *others, note = str(await plan()).splitlines()
    assert first.startswith("0: Files that could not be read")
    assert f"To do {truth['syntax_errors']}" in first
    assert len(others) > 2
    assert "loopclinic scan --plan moorings" in note


# Tests, tested.


@pytest.mark.prove
async def test_the_reference_tests_pass_and_catch_every_broken_service(tmp_path):
    found = await static_check.tested(SOLUTION, "billing", tmp_path / "report")
    assert found.hung is None
    status = {name: run.status for name, run in found.runs.items()}
    assert status == {"": 0, **dict.fromkeys(MUTANTS, 1)}
    assert found.runs[""].unawaited == []
    assert found.runs[""].files == [str(SOLUTION / "tests" / "test_service.py")]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("text", "counts", "failed", "unawaited"),
    [
        ("import nowhere\n", (2, 0), [("No module named", 1)], []),
        ("x = 1\n\ndef test_a(:\n", (2, 0), [("SyntaxError", 3)], []),
        ("x = 1\n", (5, 0), [], []),
        ("def test_a():\n    assert 0\n", (1, 1), [("assert 0", 2)], []),
        (
            "import billing\n\ndef test_a():\n    assert billing.BillingService(None, None).get(1)\n",
            (0, 1),
            [],
            [("coroutine 'BillingService.get' was never awaited", 4)],
        ),
    ],
    ids=["broken import", "syntax", "none", "fails", "never awaits"],
)
async def test_what_is_wrong_with_tests_is_reported_with_its_line(
    tmp_path, text, counts, failed, unawaited
):
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    file = folder / "tests" / "test_service.py"
    file.write_text(text)
    run = (await static_check.tested(folder, "billing", tmp_path / "report")).runs[""]
    assert (run.status, run.tests) == counts
    for found, wanted in ((run.failed, failed), (run.unawaited, unawaited)):
        assert [(one.file, one.line) for one in found] == [(str(file), line) for _, line in wanted]
        assert all(words in one.message for one, (words, _) in zip(found, wanted, strict=True))


async def test_a_conftest_that_fails_is_reported_with_its_line(tmp_path):
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    (folder / "tests" / "conftest.py").write_text("\nimport nowhere\n")
    run = (await static_check.tested(folder, "billing", tmp_path / "report")).runs[""]
    (found,) = run.failed
    assert found.message == "ModuleNotFoundError: No module named 'nowhere'"
    assert (found.file, found.line) == (str(folder / "tests" / "conftest.py"), 2)


@pytest.mark.prove
async def test_a_test_that_meets_a_mutant_and_passes_is_named(tmp_path):
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    file = folder / "tests" / "test_service.py"
    fixtures = file.read_text().partition("\n\n\nasync def")[0]
    file.write_text(
        f"{fixtures}\n\n\nasync def test_charges(service):\n    await service.charge(5, 'card')\n"
    )
    runs = (await static_check.tested(folder, "billing", tmp_path / "report")).runs
    assert {name: run.status for name, run in runs.items()} == dict.fromkeys(("", *MUTANTS), 0)
    assert runs["idle"].reached.name.endswith("::test_charges")
    assert runs["unknown"].reached is None


@pytest.mark.prove
async def test_a_test_that_never_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(static_check, "TEST", replace(static_check.TEST, limit=6.0))
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    test = "import asyncio\n\nasync def test_waits():\n    await asyncio.Event().wait()\n"
    (folder / "tests" / "test_service.py").write_text(test)
    hung = (await static_check.tested(folder, "billing", tmp_path / "report")).hung
    assert (hung.name, hung.line) == ("tests/test_service.py::test_waits", 3)
    assert hung.file == str(folder / "tests" / "test_service.py")


async def test_the_solution_is_clean_to_the_scanner_and_the_lab_is_not():
    solved, shipped = await asyncio.gather(
        static_check.scanned(SOLUTION / "billing"), static_check.scanned(BILLING)
    )
    assert solved == ([], None)
    assert {"blocking-db", "loop-per-call"} <= {one.name for one in shipped[0]}


async def test_each_broken_service_is_caught_by_a_test_made_for_it():
    async def test_unknown(service, gateway):
        async with service.transaction() as invoices:
            invoices.get.return_value = None
        with pytest.raises(Exception, match="There is no invoice 9"):
            await service.get(9)

    def test_forgets(service, gateway):
        assert service.charge(5, "card")

    caught, forgot = (await tests_on_mutants(test_unknown, test_forgets)).text.splitlines()
    first, *others = (f"{one.what} " for one in MUTANTS.values())
    assert "right passes" in caught
    assert f"{first}fails" in caught
    assert all(f"{one}passes" in caught for one in others)
    assert forgot.count("passes") == 5


async def test_coroutines_that_a_test_forgets_are_counted():
    def test_forgets(service, gateway):
        assert service.charge(5, "card")

    assert "never awaited: 5 coroutines" in (await tests_on_mutants(test_forgets)).html


# Rungs, on a real PostgreSQL.


@pytest.mark.prove
async def test_a_thread_for_each_call_loses_what_the_stall_had_kept(dsn):
    half, hopping, migrated, moral = str(await outcomes(*ladder.WAYS, dsn=dsn)).splitlines()
    booked = [
        one.partition("Invoice paid ")[2].partition(";")[0] for one in (half, hopping, migrated)
    ]
    assert booked == ["once", "twice", "once"]
    assert "raises UniqueViolation" in hopping
    assert "raises BillingError" in migrated
    assert "HalfSync booked once" in moral
    assert "Hopping took the stall away" in moral


# The check's scenes, on a real PostgreSQL.


@pytest.mark.prove
async def test_every_scene_comes_to_its_end_on_the_solution(dsn, monkeypatch, tmp_path):
    """And nothing that does not rest on time is amiss."""
    monkeypatch.setattr(check_billing, "lay_out", lambda dsn: None)
    lab = imported(SOLUTION / "billing", "billing_to_check")
    facts = {}
    line = SimpleNamespace(
        seed=1,
        rng=Random(1),
        folder=tmp_path,
        antipattern=None,
        services={"postgres": dsn},
        step=lambda name: None,
        fact=facts.__setitem__,
    )
    await check.CHECK.play(lab, line)
    facts = json.loads(json.dumps(facts))
    assert None not in facts.values()
    found = check.CHECK.judge(facts, lesson("13").promises, [])
    assert [one for one in found.reasons if not one.timed] == []
    crowd = facts["Crowd"]
    asking = crowd["gathered"]["asking"]
    assert (asking, crowd["peak"], crowd["numbers"]["counted"]) == (10, 4, 10)
    assert facts["Race"]["asking"] == 2
    assert len(facts["Refused"]["endings"]) == 9
