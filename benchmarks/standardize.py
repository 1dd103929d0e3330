"""The figures of lesson 13: searches of a code base, broken files, orders of a migration, tests that can't fail.

    python benchmarks/standardize.py [--rounds 3]

Most are counts; the payments are medians of interleaved rounds. About a minute.
"""

import argparse
import ast
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
import timeit
from collections import Counter
from pathlib import Path
from typing import Any

from claims import claim

from loopclinic.lessons.standardize import ladder, story
from loopclinic.lessons.standardize.invoice_tables import sample
from loopclinic.load.interleave import compare
from loopclinic.load.request_schedule import Load

SCAN = (sys.executable, "-m", "loopclinic", "scan", "--no-cache", "--min-confidence", "likely")


def scan(folder: Path) -> dict[str, Any]:
    """Return what the scanner says of a code base."""
    out = subprocess.run(
        [*SCAN, "--format", "json", str(folder)], check=False, capture_output=True
    ).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def tested(*names: str, **files: str) -> str:
    """Run pytest in a folder with these files; return its last line and status."""
    with tempfile.TemporaryDirectory() as room:
        for name, text in files.items():
            (Path(room) / f"{name}.py").write_text(textwrap.dedent(text))
        options = ("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=strict", "--rootdir", room)
        command = [sys.executable, "-m", "pytest", *options, *names]
        done = subprocess.run(command, check=False, cwd=room, capture_output=True, text=True)
    return f"{done.stdout.strip().splitlines()[-1]}; exit status {done.returncode}"


def adoption(root: Path) -> str:
    """Set the share of `async def` against the share of them that a conflict is found in."""
    counts = json.loads((root / "counts.json").read_text("utf-8"))
    functions = counts["async_functions"], counts["sync_functions"]
    stuck = {
        (one["chain"][0]["file"], one["chain"][0]["function"])
        for one in scan(root)["findings"]
        if one["chain"] and one["kind"].startswith("blocking")
    }
    share = functions[0] / sum(functions)
    return (
        f"{functions[0]} of {sum(functions)} functions are async, {share:.0%}; "
        f"{len(stuck)} functions that run on the loop reach a call that blocks it."
    )


def half_broken(root: Path) -> str:
    """Break the syntax of two files in five, and scan again."""
    before = len(scan(root)["findings"])
    with tempfile.TemporaryDirectory() as room:
        copy = Path(room) / root.name
        shutil.copytree(root, copy)
        files = sorted(copy.rglob("*.py"))
        for file in files[::5] + files[2::5]:
            file.write_text(file.read_text("latin-1") + "\ndef (\n")
        found = scan(copy)
    broken = found["counts"]["syntax_errors"]
    return f"{broken} of {len(files)} files broken: {len(found['findings'])} of {before} findings are left, and the files are listed."


def gates() -> str:
    """Run three syntax gates on a folder with two broken files."""
    commands = {
        "find -exec py_compile": ("find", ".", "-name", "*.py", "-exec", sys.executable, "-m", "py_compile", "{}", ";"),
        "python -m compileall -q": (sys.executable, "-m", "compileall", "-q", "."),
        "loopclinic scan --fail-on any": (sys.executable, "-m", "loopclinic", "scan", "--no-cache", "--fail-on", "any"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as room:
        for name in ("one.py", "two.py"):
            (Path(room) / name).write_text("async def f():\n    return await (\n")
        statuses = (
            f"{name}: exit status {subprocess.run(command, check=False, cwd=room, capture_output=True).returncode}"
            for name, command in commands.items()
        )
        return "\n".join(statuses)


def outside() -> str:
    """Say who notices an `await` outside of an async function."""
    source = "def f(g):\n    return await g()\n"
    ast.parse(source)
    try:
        compile(source, "outside.py", "exec")
    except SyntaxError as error:
        return f"ast.parse accepts it. compile: {type(error).__name__}: {error.msg}."
    return "Neither ast.parse nor compile refuses it."


def orders(root: Path) -> str:
    """Count the findings that end when a layer has been converted, by the file that holds the blocking call."""
    layers = Counter[str]()
    for one in scan(root)["findings"]:
        if one["chain"]:
            layers[_layer(one["chain"][-1]["file"])] += 1
    total = layers.total()
    words = []
    for order in (("services", "repositories"), ("repositories", "services")):
        left, steps = total, []
        for layer in order:
            left -= layers[layer]
            steps.append(f"{left} after the {layer}")
        words.append(f"{total} findings, {', '.join(steps)}")
    return "\n".join(words)


def _layer(file: str) -> str:
    for name, words in {"repositories": ("repositor",), "services": ("service",)}.items():
        if any(word in file for word in words):
            return name
    return "elsewhere"


def await_cost() -> str:
    """Time a call and an awaited call of a function that awaits nothing."""

    def plain() -> None: ...
    async def awaited() -> None: ...

    async def calls() -> float:
        began = timeit.default_timer()
        for _ in range(200_000):
            await awaited()
        return timeit.default_timer() - began

    call = min(timeit.repeat(plain, number=200_000))
    waits = min(asyncio.run(calls()) for _ in range(5))
    return f"A call takes {5000 * call:.0f} ns, an await {5000 * waits:.0f} ns."


SERVICE = """
    async def charge(cents):
        return {"paid": cents}

    class Limiter:
        def allow(self): return %s
"""
SKIPPING = """
    import pytest
    from service import Limiter

    redis = pytest.mark.skipif(True, reason="needs Redis")

    @pytest.mark.parametrize("n", range(13))
    def test_without(n): assert n >= 0

    @redis
    @pytest.mark.parametrize("n", range(5))
    def test_limit(n): assert Limiter().allow() is True
"""
UNMARKED = """
    from unittest.mock import AsyncMock
    from service import charge

    async def test_pays():
        gateway = AsyncMock(return_value={"paid": 6})
        assert await gateway(6) == await charge(6)

    def test_is_not_none():
        assert charge(6) is not None
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    root = sample()

    claim(
        'All async checks pass, so nothing blocks; and two searches, "def.*async|async.*def" and "asyncio.run"',
        "A linter sees direct calls of functions it knows; a pattern sees lines.",
    )
    print(asyncio.run(story.survey()).drawing())
    claim(
        '1,517 async functions of 3,483 are "good async adoption"',
        "The share of `async def` says nothing of what they reach. In the sample code base:",
    )
    print(adoption(root))
    claim(
        '"245+ files" with syntax errors, of 610',
        "What is counted in the others is a part: callers and what they call may be in two files.",
    )
    print(half_broken(root))
    claim(
        r"`find … -exec python -m py_compile {} \;` is the gate",
        "Its exit status is that of find. With two broken files:",
    )
    print(gates())
    claim(
        'No "await outside async" in the logs, so there is none',
        "A file that does not compile never runs, so it never logs.",
    )
    print(outside())
    claim(
        "Services first, then repositories",
        "More findings end with the repositories, which hold the calls that block: the callee first.",
    )
    print(orders(root))
    claim(
        '"fully async for consistency"',
        "A function that awaits nothing costs each caller an await, and makes it async, too.",
    )
    print(await_cost())
    claim(
        '13 of 18 tests passed and 5 were skipped: "ALL RESOLVED"',
        "What the skipped tests cover may be broken: the suite stays green.",
    )
    for allows, words in ("True", "right"), ("False", "broken"):
        print(f"The limiter is {words}: {tested(service=SERVICE % allows, test_all=SKIPPING)}")
    claim(
        '"tests use the mark"',
        "Its own mock test has none: in strict mode pytest does not run it, and fails it since 8.4, right as it is. "
        "`assert … is not None` passes on a coroutine.",
    )
    for name in ("test_pays", "test_is_not_none"):
        told = tested(f"test_all.py::{name}", service=SERVICE % True, test_all=UNMARKED)
        print(f"{name}: {told}")

    print("\nPayments of each version")
    dsn = asyncio.run(story.harbor())
    load = Load(rate=60, seconds=1, arrivals="uniform")
    ways = (story.served(way, dsn) for way in ladder.WAYS)
    print(compare(*ways, load=load, rounds=args.rounds))


if __name__ == "__main__":
    main()
