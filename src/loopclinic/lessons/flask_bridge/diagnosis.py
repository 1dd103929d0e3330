"""What other tools say about a service that answers and forgets: each is asked, and quoted."""

import asyncio
import json
import shutil
import sysconfig
from html import escape
from typing import NamedTuple

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.deploy import Deploy
from loopclinic.lessons.flask_bridge.ledger import Ledger

__all__ = ["diagnose"]


class _Finding(NamedTuple):
    tool: str
    how: str
    says: str
    sees: str
    misses: str


async def diagnose(run: Deploy, dsn: str) -> Drawing:
    """Ask each tool about a deploy that just was; about a second."""
    linter, sessions = await asyncio.gather(_lint(), asyncio.to_thread(_sessions, dsn))
    return _table(
        [
            _Finding(
                "the access log",
                "status codes",
                f"{run.promised} x 204, {run.failed} x anything but 503",
                "-",
                "what a 204 is worth",
            ),
            _Finding("ruff, the lab file", "ruff check --select ASYNC", linter, "-", "threads"),
            _Finding(
                "the process",
                "threading.active_count()",
                f"up to {run.threads} threads of its own making",
                "that they climb",
                "what dies with them",
            ),
            _Finding(
                "PostgreSQL",
                "pg_stat_database",
                sessions,
                "a session for each webhook, and those cut off",
                "which updates these were",
            ),
            _Finding(
                "a reconciliation",
                "ids answered 204, less rows",
                f"{run.lost} missing",
                "the loss, and which ones",
                "why: it needs the provider's list",
            ),
        ]
    )


def _sessions(dsn: str) -> str:
    with Ledger(dsn) as ledger:
        try:
            total, cut = ledger.statistics()
        except Exception as error:  # an older server has no such columns
            return f"{type(error).__name__}"
    return f"{total} sessions so far, {cut} abandoned by their client"


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
    return "; ".join(lines) or "nothing"


def _table(findings: list[_Finding]) -> Drawing:
    rows = "".join(
        f"<tr><td><b>{escape(one.tool)}</b><br><span class='lc-muted'>{escape(one.how)}</span></td>"
        f"<td><code>{escape(one.says)}</code></td><td>{_words(one.sees)}</td>"
        f"<td>{_words(one.misses)}</td></tr>"
        for one in findings
    )
    head = "<tr><th>Ask</th><th>It answers</th><th>It sees</th><th>It misses</th></tr>"
    text = "\n".join(
        f"{one.tool}: {one.says}. Sees: {one.sees}. Misses: {one.misses}." for one in findings
    )
    return Drawing(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>", text)


def _words(text: str) -> str:
    return "<span class='lc-muted'>&ndash;</span>" if text == "-" else escape(text)
