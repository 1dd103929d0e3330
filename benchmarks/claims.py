"""Write docs/claims.md: each claim that a benchmark tests, what its lesson shows, and what was measured.

    python benchmarks/claims.py [--measure NAME ...]

NAME is a benchmark, such as sync_sdk or 'sync_sdk --rounds 1', or `all`: it runs, and what it prints of its
claims replaces what the page has. What was measured earlier stays. All take about half an hour; measure on an
idle machine.
"""

import argparse
import ast
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from loopclinic.lessons import lessons

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs/claims.md"
NOTHING = "Not measured yet."
HEAD = """# Claims that the lessons put to the test

Each was made by a real team about its own code; in quotation marks, in its words. The notebook runs it on your
machine. What follows each claim is what its benchmark printed when it was last measured, under the heading that
names the day and the machine; where other programs ran, times are too long. `python benchmarks/claims.py --measure
NAME` measures one of them anew and writes this page. Lesson 00 tests none: it shows how to read the instruments.
"""
TAIL = """## Recommended by these teams, not treated here

- Streaming answers: lesson 04's places are held for as long as an answer lasts.
- Caps on what calls to paid services may cost: a counter as in lesson 09, which adds up an amount.
- A log line for the number of calls in flight: theirs prints the limit. The scope's figures are counted.
"""


class Claim(NamedTuple):
    """A claim, and what its lesson shows."""

    said: str
    shows: str


def claim(said: str, shows: str) -> None:
    """Print a claim; what follows, up to an empty line, is what was measured of it."""
    print(f"\nClaim: {said}\n{shows}")


def claims(file: Path) -> list[Claim]:
    """Return the claims that a benchmark prints, in the order of its source."""
    calls = (one for one in ast.walk(ast.parse(file.read_bytes())) if isinstance(one, ast.Call))
    named = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "claim"]
    named.sort(key=lambda one: one.lineno)
    return [Claim(*map(ast.literal_eval, one.args)) for one in named]


def kept(page: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Return, by benchmark, when and where the page's figures were measured, and those of each claim."""
    found = {}
    for part in page.split("\n## "):
        if named := re.search(r"^`python benchmarks/(\w+)\.py`: (.+)$", part, re.MULTILINE):
            blocks = re.findall(
                r"^\*\*(.+?)\*\* .*\n\n```text\n((?s:.+?))\n```$", part, re.MULTILINE
            )
            found[named[1]] = named[2], dict(blocks)
    return found


def page(measured: dict[str, tuple[str, dict[str, str]]]) -> str:
    """Return the page, with what was measured."""
    parts = [HEAD]
    for lesson in lessons():
        name = lesson.stem
        if not (file := FOLDER / f"{name}.py").exists() or not (said := claims(file)):
            continue
        when, figures = measured.get(name, (NOTHING, {}))
        parts.append(
            f"## {lesson.number} {lesson.title}\n\n`python benchmarks/{name}.py`: {when}\n"
        )
        parts += [
            f"**{one.said}** {one.shows}\n\n```text\n{figures.get(one.said, NOTHING)}\n```\n"
            for one in said
        ]
    return "\n".join([*parts, TAIL])


def measure(name: str, *options: str) -> tuple[str, dict[str, str]]:
    """Run a benchmark; return when and where, and what it printed of each claim.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    busy = os.getloadavg()[0]
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(out)
    figures = {}
    for part in out.split("\nClaim: ")[1:]:
        said, _, *lines = part.partition("\n\n")[0].splitlines()
        figures[said] = "\n".join(line.rstrip() for line in lines)
    cores, python = os.cpu_count(), platform.python_version()
    where = f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, CPython {python}, {platform.system()}"
    how = [f", by {' '.join(options)}"] * bool(options) + [", while other programs ran"] * (
        busy > 0.5
    )
    return f"{where}{''.join(how)}.", figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="+", default=[], metavar="NAME")
    orders = parser.parse_args().measure
    if orders == ["all"]:
        orders = [one.stem for one in lessons() if (FOLDER / f"{one.stem}.py").exists()]
    for order in orders:
        name, *options = order.split()
        found = {name: measure(name, *options)}
        PAGE.write_text(page(kept(PAGE.read_text("utf-8")) | found), "utf-8")
    PAGE.write_text(page(kept(PAGE.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
