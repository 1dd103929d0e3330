"""Experiments of notebook 13: searches of a code base, stalls, what each version books, tests on mutants."""

import asyncio
import inspect
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import psycopg
import pytest

from loopclinic.drawing.tables import Cell, Drawing, Drawn, bold, code, colored, table
from loopclinic.import_path import imported
from loopclinic.lessons.core.child_programs import ran
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.invoice_tables import lay_out, sample
from loopclinic.lessons.standardize.ladder import INVOICES, opened, served  # noqa: F401 - the notebook's
from loopclinic.lessons.standardize.mutants import MUTANTS
from loopclinic.lessons.story.kernel_database import KernelDatabase
from loopclinic.lessons.story.other_tools import ruff_path
from loopclinic.lessons.story.stalled import stalled
from loopclinic.paths import kit_root
from loopclinic.probe import Probe
from loopclinic.units import count

assert LESSON.shipped is not None
BILLING = LESSON.shipped / "billing"
"""The package of the lab, as it ships."""
_SOLVED = "moorings_billing"
MIXED = r"def.*async|async.*def"
RUNS = r"asyncio\.run\("
RULES = "ASYNC,RUF006"
_RUFF_CHECK = f"ruff check --select {RULES}"
_RUFF = ("check", "--isolated", "--no-cache", "--select", RULES, "--output-format")
_SCAN = (sys.executable, "-m", "loopclinic", "scan", "--no-cache")
_KINDS = 10
_CENTS = 3800
_MOSTLY = 0.5
_INVOICE = """
    insert into invoice (number, booking_id, customer_id, issued_on, due_on)
    select %s || n, n, 1, '2030-05-01', '2030-05-15' from generate_series(1, %s) n returning id
"""
_LINE = "insert into invoice_line (invoice_id, description, quantity, unit_cents) values (%s, 'a season', 1, %s)"
_PAID = "select coalesce(sum(amount_cents), 0) from payment where invoice_id = %s"


def _issue(dsn: str, many: int, cents: int) -> int:
    """Store so many open invoices of so many cents; return the id of the last."""
    with psycopg.connect(dsn) as connection:
        issued = connection.execute(_INVOICE, [f"{uuid4()}-", many]).fetchall()
        with connection.cursor() as cursor:
            cursor.executemany(_LINE, [(key, cents) for (key,) in issued])
    return int(issued[-1][0])


def _paid(dsn: str, invoice: int) -> int:
    with psycopg.connect(dsn) as connection:
        return int(connection.execute(_PAID, [invoice]).fetchall()[0][0])


def _fill(dsn: str) -> None:
    lay_out(dsn)
    _issue(dsn, INVOICES, 100_000_000)


harbor = KernelDatabase("moorings", _fill).address
"""`await harbor()` gives the address of a database with open invoices; it ends with the kernel."""


stalls = partial(stalled, doing=", waiting", last="payment")
"""`stalls(vitals)` draws what the load did to the loop, in the figures that matter."""


# Searches.

Line = tuple[str, int]
"""A file, relative to the code base, and the number of a line."""


@dataclass(frozen=True, repr=False)
class Survey(Drawn):
    """What each search said of one code base, and what is true of it."""

    truth: Mapping[str, int]
    mixed: Sequence[Line]
    """Lines that the first grep names."""
    runs: Sequence[Line]
    """Lines that the second grep names."""
    calls: int
    """How many of these are calls, and no comment or text."""
    linter: Sequence[Line] | None
    """The linter's findings, syntax errors left out; None where it is not installed."""
    scan: Mapping[str, Any]

    @property
    def conflicts(self) -> int:
        """How many conflicts the scanner found."""
        return len(self.scan["findings"])

    @property
    def through_calls(self) -> int:
        """How many of these are reached through calls of one's own functions."""
        return sum(len(one["chain"]) > 1 for one in self.scan["findings"])

    def drawing(self) -> Drawing:
        """Draw what each search said, and what that is worth."""
        truth, counts, files = self.truth, self.scan["counts"], {file for file, _ in self.mixed}
        linter = "not installed" if self.linter is None else count(len(self.linter), "finding")
        mixed = f"{truth['mixed_files']} of {truth['files']} files mix both kinds. A pattern "
        mixed += "sees lines: it also names files with a single async function."
        runs = f"{len(self.runs) - self.calls} of them are comments or strings; there are "
        runs += f"{truth['asyncio_run_calls']} calls, some under another name."
        linted = (
            "Direct calls of functions it knows. It follows no call, and knows no database driver."
        )
        scanned = f"{self.through_calls} of them through other functions, each with its "
        scanned += f"chain. It could not resolve {count(counts['unresolved_calls'], 'call')}, "
        scanned += f"nor parse {count(counts['syntax_errors'], 'file')}."
        lines, found = len(self.mixed), count(self.conflicts, "finding")
        rows = (
            (
                "grep for mixed files",
                f'grep -E "{MIXED}"',
                f"{len(files)} files, {lines} lines",
                mixed,
            ),
            ("grep for loops", f'grep -E "{RUNS}"', f"{len(self.runs)} lines", runs),
            ("the linter", _RUFF_CHECK, linter, linted),
            ("the scanner", "loopclinic scan", found, scanned),
        )
        shown = ((bold(name, command), *rest) for name, command, *rest in rows)
        return table(["Search", "It says", "What that is worth"], shown)

    def kinds(self) -> Drawing:
        """Draw what the scanner found, by kind, with what the linter has of the same lines."""
        found, seen = self.scan["findings"], set(self.linter or ())
        many = Counter(one["kind"] for one in found)
        both = Counter(one["kind"] for one in found if (one["file"], one["line"]) in seen)
        most = max(many.values(), default=1)
        first = f"The {_KINDS} most frequent of {len(many)} kinds. " if len(many) > _KINDS else ""
        rows = (
            (code(kind), _bars(both[kind] / most, n / most), str(n), str(both[kind] or ""))
            for kind, n in many.most_common(_KINDS)
        )
        note = f"{first}Blue is what the linter names, too."
        return table(["Kind", "", "scanner", "linter, too"], rows, note=note)


def _bars(lag: float, stall: float) -> Cell:
    """Return a bar over the share `stall` of the cell, blue up to the share `lag`."""
    parts = "".join(
        f"<div style='width:{share:.1%};background:var(--lc-{color})'></div>"
        for share, color in ((lag, "lag"), (stall - lag, "stall"))
    )
    return Cell(f"<div style='display:flex;height:12px;min-width:160px'>{parts}</div>")


async def survey() -> Survey:
    """Search the sample code base in each way; takes about three seconds."""
    root = await asyncio.to_thread(sample)
    found, linter, scan = await asyncio.gather(
        asyncio.to_thread(_grep, root),
        _linted(root),
        _said(*_SCAN, "--format", "json", "--min-confidence", "likely", str(root)),
    )
    truth = json.loads(await asyncio.to_thread((root / "counts.json").read_text, "utf-8"))
    return Survey(truth, *found, linter, json.loads(scan[1]))


def _grep(folder: Path) -> tuple[list[Line], list[Line], int]:
    """Return the lines that match each pattern, and how many of the second are code.

    There, the match stands before any comment or text.
    """
    mixed, runs, calls = list[Line](), list[Line](), 0
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        for number, text in enumerate(file.read_text("latin-1").splitlines(), 1):
            if re.search(MIXED, text):
                mixed.append((name, number))
            if match := re.search(RUNS, text):
                runs.append((name, number))
                calls += not set(text[: match.start()]) & set('#"`')
    return mixed, runs, calls


async def _linted(folder: Path) -> list[Line] | None:
    ruff = await asyncio.to_thread(ruff_path)
    if ruff is None:
        return None
    _, out = await _said(ruff, *_RUFF, "json", str(folder))
    return [
        (Path(one["filename"]).relative_to(folder).as_posix(), one["location"]["row"])
        for one in json.loads(out or "[]")
        if one["code"] not in (None, "invalid-syntax")
    ]


async def gate(folder: Path) -> Drawing:
    """Run both gates on a package, as a pipeline would, and quote how each ends."""
    ruff = await asyncio.to_thread(ruff_path)
    linter = {_RUFF_CHECK: (ruff, *_RUFF, "concise", "--quiet")} if ruff else {}
    commands = {**linter, "loopclinic scan --fail-on any": (*_SCAN, "--fail-on", "any")}
    rows = []
    for shown, command in commands.items():
        status, out = await _said(*command, str(folder))
        last = (out.strip().splitlines() or ["All checks passed."])[-1]
        ends, color = ("fails", "stall") if status else ("passes", "calm")
        rows.append([code(shown), colored(f"{ends}, status {status}", color), last])
    return table(["Gate", "", "Its last line"], rows)


async def plan() -> Drawing:
    """Draw the phases of the scanner's migration plan, with what each is about and how much it is."""
    root = await asyncio.to_thread(sample)
    _, out = await _said(*_SCAN, "--plan", root.name, cwd=root.parent)
    rows = []
    for part in out.split("\n## Phase ")[1:]:
        title, *rest = part.splitlines()
        about = next((one for one in rest if one.strip() and one[0] not in "-#"), "")
        tasks = [one for one in rest if one.lstrip().startswith("- [ ]")]
        first = tasks[0].partition("`")[2].partition("`")[0] if tasks else ""
        rows.append([bold(title.partition(" (")[0], about), str(len(tasks)), code(first)])
    note = f"The whole checklist, in Markdown: loopclinic scan --plan {root.name}"
    return table(["Phase", "To do", "The first"], rows, note=note)


async def _said(*command: str, cwd: Path | None = None) -> tuple[int | None, str]:
    """Run a program; return its status, and its output without colors."""
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    plain |= {"NO_COLOR": "1", "TERM": "dumb"}
    status, out, _ = await ran(command, environ=plain, cwd=cwd, patience=60.0)
    return status, out.decode("utf-8", "replace")


# What each way books.


async def outcomes(*ways: Any, dsn: str) -> Drawing:
    """Pay one invoice twice at once, then book one reference twice, by each way; count in the tables."""
    rows, kept, lost = [], "", ""
    for way in ways:
        booked, second, refusal, busy = await _outcome(way, dsn)
        twice, stuck, name = booked > 1, busy > _MOSTLY, way.__name__
        kept = kept or name * (stuck and not twice)
        lost = lost or name * (twice and not stuck)
        cells = {"twice" if twice else "once": twice, second: twice}
        cells |= {refusal: not refusal.startswith("Billing"), f"{busy:.0%}": stuck}
        colors = [colored(words, "stall" if wrong else "calm") for words, wrong in cells.items()]
        rows.append([code(name), *colors])
    moral = f"{kept} booked once because nothing else could run in between: its "
    moral += f"stall was a lock, too. {lost} took the stall away, and the lock with it."
    heads = ["Way", "Invoice paid", "The second payment", "A reused reference raises"]
    return table([*heads, "Loop busy"], rows, sentence=moral if kept and lost else "")


async def _outcome(way: Any, dsn: str) -> tuple[float, str, str, float]:
    """Return the share that was booked, the second payment's end, an error's name, the loop's busy share."""
    invoice, other = [await asyncio.to_thread(_issue, dsn, 1, _CENTS) for _ in range(2)]
    refusal = "nothing"
    async with opened(way, dsn) as billing:
        async with Probe() as probe:
            payments = (billing.record(invoice, _CENTS, str(uuid4())) for _ in range(2))
            answers = await asyncio.gather(*payments, return_exceptions=True)
        try:
            for _ in range(2):
                await billing.record(other, 1, f"twice-{other}")
        except Exception as error:
            refusal = type(error).__name__
    paid = await asyncio.to_thread(_paid, dsn, invoice)
    refused = [type(one).__name__ for one in answers if isinstance(one, BaseException)]
    second = f"was refused: {refused[0]}" if refused else "was booked, too"
    return paid / _CENTS, second, refusal, probe.report().utilization or 0.0


# Tests on mutants.


async def tests_on_mutants(*tests: Callable[[Any, Any], Any]) -> Drawing:
    """Run each `test(service, gateway)` on the reference solution, and on each mutant of it."""
    package = await asyncio.to_thread(_solution)
    rows = []
    for test in tests:
        right, forgotten = await _passes(test, package.BillingService, package)
        cells = [colored("passes", "calm") if right else colored("fails", "stall")]
        for mutant in MUTANTS.values():
            passed, unawaited = await _passes(test, mutant.of(package), package)
            forgotten += unawaited
            cells.append(colored("passes", "stall") if passed else colored("fails", "calm"))
        below = f"never awaited: {count(forgotten, 'coroutine')}" if forgotten else ""
        rows.append([bold(test.__name__, below), *cells])
    heads = ["On a service that ...", "is right", *(one.what for one in MUTANTS.values())]
    return table(heads, rows)


async def _passes(test: Any, kind: Any, package: ModuleType) -> tuple[bool, int]:
    """Return whether a test passes on a service, and how many coroutines it did not await."""
    lines, day = [package.InvoiceLine("night", 2, 1900)], date(2030, 5, 1)
    invoice = package.Invoice(1, 2, day, day, number="2030-00005", id=5, lines=lines)
    invoices, gateway = AsyncMock(), AsyncMock()
    invoices.get.return_value = invoice
    invoices.add_payment.side_effect = lambda _, payment: invoice.payments.append(payment)
    gateway.charge.return_value = "ch_1"

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Any]:
        yield invoices

    passed = True
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            answer = test(kind(transaction, gateway), gateway)
            if inspect.isawaitable(answer):
                await answer
        except (Exception, pytest.fail.Exception):  # what pytest.raises ends by is no Exception
            passed = False
    return passed, sum("never awaited" in str(one.message) for one in said)


def _solution() -> ModuleType:
    """Return the reference solution's package, imported once."""
    known = sys.modules.get(_SOLVED)
    return known or imported(kit_root() / "solutions" / LESSON.name / "billing", _SOLVED)
