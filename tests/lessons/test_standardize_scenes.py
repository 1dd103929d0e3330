"""Lesson 13's parts: what the searches find, what tests are worth, what the rungs do to an invoice."""

import asyncio
import json
import shutil

import psycopg
import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.standardize import ladder, suite
from loopclinic.lessons.standardize.books import Books, lay_out, sample
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.lessons.standardize.examined import examined
from loopclinic.lessons.standardize.on_broken import on_broken
from loopclinic.lessons.standardize.scenes import BILLING, opened
from loopclinic.lessons.standardize.searches import gate, plan, survey
from loopclinic.places import kit_root
from loopclinic.servers.postgres import postgres
from loopclinic.servers.postgres_monitor import named

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
    assert found.mixed[0] != truth["mixed_files"]
    assert found.runs[1] > 0
    assert found.runs[0] - found.runs[1] != truth["asyncio_run_calls"]
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
    assert first == f"Phase 0: what could not be read, {truth['syntax_errors']} to do"
    assert len(others) > 2
    assert "loopclinic scan --plan moorings" in note


# Tests, tested.


@pytest.mark.slow
async def test_the_reference_tests_pass_and_catch_every_broken_service(tmp_path):
    found = await suite.tested(SOLUTION, "billing", tmp_path / "report")
    assert found["hung"] is None
    assert {name: run["status"] for name, run in found["runs"].items()} == {
        "": 0,
        **dict.fromkeys(BROKEN, 1),
    }
    assert found["runs"][""]["unawaited"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import nowhere\n", {"status": 2, "tests": 0}),
        ("x = 1\n", {"status": 5, "tests": 0}),
        ("def test_a():\n    assert 0\n", {"status": 1, "tests": 1}),
        (
            "import billing\n\ndef test_a():\n    assert billing.BillingService(None, None).get(1)\n",
            {"status": 0, "unawaited": ["coroutine 'BillingService.get' was never awaited"]},
        ),
    ],
    ids=["broken import", "none", "fails", "never awaits"],
)
async def test_what_is_wrong_with_tests_is_reported(tmp_path, text, found):
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    (folder / "tests" / "test_service.py").write_text(text)
    run = (await suite.tested(folder, "billing", tmp_path / "report"))["runs"][""]
    assert {name: run[name] for name in found} == found
    assert bool(run["failed"]) == (run["status"] in (1, 2))


async def test_a_test_that_never_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("loopclinic.lessons.standardize.suite._PATIENCE", 6.0)
    folder = tmp_path / "lab"
    shutil.copytree(SOLUTION, folder)
    test = "import asyncio\n\nasync def test_waits():\n    await asyncio.Event().wait()\n"
    (folder / "tests" / "test_service.py").write_text(test)
    found = await suite.tested(folder, "billing", tmp_path / "report")
    assert found["hung"] == "tests/test_service.py::test_waits"


async def test_the_solution_is_clean_to_the_scanner_and_the_lab_is_not():
    solved, shipped = await asyncio.gather(
        suite.scanned(SOLUTION / "billing"), suite.scanned(BILLING)
    )
    assert solved["findings"] == []
    assert {"blocking-db", "loop-per-call"} <= {one["kind"] for one in shipped["findings"]}


async def test_each_broken_service_is_caught_by_a_test_made_for_it():
    async def test_unknown(service, gateway):
        async with service.transaction() as invoices:
            invoices.get.return_value = None
        with pytest.raises(Exception, match="There is no invoice 9"):
            await service.get(9)

    def test_forgets(service, gateway):
        assert service.charge(5, "card")

    caught, forgot = str(await on_broken(test_unknown, test_forgets)).splitlines()
    assert "passes on the right service, catches 1 of 4" in caught
    assert "catches 0 of 4 broken ones. 5 coroutines were never awaited" in forgot


# Rungs, on a real PostgreSQL.


async def test_a_thread_for_each_call_loses_what_the_stall_had_kept(dsn):
    half, hopping, migrated, moral = str(
        await examined(*ladder.WAYS, dsn=dsn, opened=opened)
    ).splitlines()
    assert "booked 1 x the total" in half
    assert "booked 2 x the total" in hopping
    assert "booked 1 x the total" in migrated
    assert "raised UniqueViolation" in hopping
    assert "raised BillingError" in migrated
    assert "HalfSync booked once" in moral
    assert "Hopping took the stall away" in moral


def test_books_see_what_is_open_half_done_and_held(dsn):
    new = (
        "insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
        " values ('2031-00001', 1, 1, now(), now()) returning id"
    )
    with Books(dsn) as books, psycopg.connect(named(dsn, "lab")) as lab:
        (key,) = lab.execute(new).fetchone()
        assert [one.in_transaction for one in books.sessions("lab")] == [True]
        assert (books.entry(key), books.numbers(2031)) == (None, [])
        lab.commit()
        assert books.entry(key).total == 0
        assert books.numbers(2031) == ["2031-00001"]
        assert [one.in_transaction for one in books.sessions("lab")] == [False]
        with pytest.raises(psycopg.errors.UniqueViolation):
            lab.execute(new)
        # A transaction that failed is open until it is rolled back.
        assert len(books.forgotten("lab", 0.05)[1]) == 1
        lab.rollback()
        assert books.forgotten("lab", 1.0)[1] == []
        lab.execute("set lock_timeout = 100")
        pay = "insert into payment (invoice_id, amount_cents, method, reference)"
        with books.held("payment"), pytest.raises(psycopg.errors.LockNotAvailable):
            lab.execute(f"{pay} values (%s, 1, 'cash', 'x')", [key])
