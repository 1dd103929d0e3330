"""What other tools say about a job that hangs on its loop: each is run, and quoted."""

import asyncio
import json
import os
import re
import shutil
import sys
import sysconfig
from html import escape
from pathlib import Path
from random import Random
from typing import NamedTuple

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.hangs import Hang
from loopclinic.lessons.sync_database.observer import Observer, Session
from loopclinic.lessons.sync_database.records import companies, draw, enter, mine, named
from loopclinic.lessons.sync_database.wording import meanwhile

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.sync_database.suspect"


class _Finding(NamedTuple):
    tool: str
    how: str
    says: str
    sees: str
    misses: str


async def diagnose(dsn: str, hang: Hang | None = None) -> Drawing:
    """Run each tool on the lab as shipped, hung in a process of its own; quote what they say.

    `hang` is one that the scope saw, for the last line. Takes about three seconds.
    """
    suspect, linter = await asyncio.gather(_suspect(dsn), _lint())
    findings = [
        *suspect[:2],
        _Finding(
            "ruff, the lab file", "ruff check --select ASYNC", linter, "-", "that it is a driver"
        ),
        *suspect[2:],
    ]
    if hang is not None and hang.stall is not None:
        stall = hang.stall
        seen = "the line, while it lasts"
        if stall.first_seen is not None:
            seen += f": after {span(stall.first_seen)}"
        says = f"{stall.where}  {stall.code or ''}".rstrip()
        findings.append(
            _Finding("the scope", "loopclinic.Scope()", says, seen, "who has the connections")
        )
    return _table(findings)


async def _suspect(dsn: str) -> list[_Finding]:
    """Run the lab as shipped until it hangs, and read what was said meanwhile."""
    name = mine("suspect")
    with Observer(dsn) as observer:
        first = 1 + int(observer.rows("select coalesce(max(id), 0) from audits")[0][0])
        audits = draw(Random(first), companies()[:3], first=first, queries=1)  # noqa: S311 - no secret
        await asyncio.to_thread(enter, observer.connection, audits)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-m", _SUSPECT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        order = {"dsn": named(dsn, name), "audits": [one.id for one in audits]}
        talk = asyncio.ensure_future(process.communicate(json.dumps(order).encode() + b"\n"))
        try:
            sessions: list[Session] = []
            while not talk.done():
                now = await asyncio.to_thread(observer.sessions, name)
                # At its end they close one after another: the hang is when there are most.
                sessions = max(now, sessions, key=len)
                await asyncio.wait([talk], timeout=0.1)
            out, err = await talk
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        deadlocks = observer.rows(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )[0][0]
    said, dump = out.decode(), err.decode()
    if process.returncode:
        raise RuntimeError(f"{_SUSPECT} ended with status {process.returncode}: {dump[-500:]}")
    facts = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
    slow = [line for line in said.splitlines() if line.startswith("asyncio: Exec")]
    frame = re.search(r'File "([^"]*02_sync_database\.py)", line (\d+) in (\w+)', dump)
    place = f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" if frame else "no frame"
    seen = meanwhile([one.to_dict() for one in sessions]).strip(" .") or "no session"
    return [
        _Finding(
            "a CPU graph",
            "time.process_time()",
            f"{facts['cpu']:.1%} of a core",
            "an idle service",
            "that it will be idle for good",
        ),
        _Finding(
            "debug mode",
            "python -X dev",
            slow[-1].removeprefix("asyncio: ") if slow else "nothing",
            "-",
            "a callback that never ends: it speaks afterwards",
        ),
        _Finding("a stack dump", "faulthandler", place, "the line", "why it waits"),
        _Finding(
            "deadlock detector",
            "pg_stat_database",
            f"{deadlocks} deadlocks",
            "-",
            "a wait that goes through your loop",
        ),
        _Finding(
            "PostgreSQL's sessions", "pg_stat_activity", seen, "who has what", "that it is one loop"
        ),
    ]


async def _lint() -> str:
    """Return what the linter finds in the lab as shipped."""
    assert LESSON.shipped is not None
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or shutil.which("ruff")
    if ruff is None:
        return "not installed here: pip install ruff"
    options = ("check", "--isolated", "--no-cache", "--select", "ASYNC", "--output-format", "json")
    process = await asyncio.create_subprocess_exec(
        *(ruff, *options, str(LESSON.shipped)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    found = json.loads(out or b"[]")
    lines = [f"line {one['location']['row']}: {one['code']} {one['message']}" for one in found]
    return "\n".join(lines) or "nothing"


def _table(findings: list[_Finding]) -> Drawing:
    rows, texts = [], []
    for one in findings:
        says = "<br>".join(escape(line) for line in one.says.splitlines())
        rows.append(
            f"<tr><td><b>{escape(one.tool)}</b><br><span class='lc-muted'>{escape(one.how)}</span>"
            f"</td><td><code>{says}</code></td><td>{_words(one.sees)}</td>"
            f"<td>{_words(one.misses)}</td></tr>"
        )
        says = "; ".join(one.says.splitlines())
        texts.append(f"{one.tool}: {says}. Sees: {one.sees}. Misses: {one.misses}.")
    head = "<tr><th>Ask</th><th>It answers</th><th>It sees</th><th>It misses</th></tr>"
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>", "\n".join(texts)
    )


def _words(text: str) -> str:
    return "<span class='lc-muted'>&ndash;</span>" if text == "-" else escape(text)
