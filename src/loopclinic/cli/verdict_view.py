"""Shows a verdict in a terminal: a colored panel, or plain lines where output is redirected."""

import os
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from loopclinic.verdict import SIGNS, WORDS, Reason, Verdict

EXIT = {"passed": 0, "not-yet": 1, "too-busy": 2, "could-not-run": 2}
"""Exit status by verdict: 1 for whatever the learner's file causes, 2 for the kit or the machine."""

_COLORS = {"passed": "green", "not-yet": "dark_orange"}
_STATES: dict[str, str] = {"kept": "green", "broken": "dark_orange"}


def show_verdict(verdict: Verdict, console: Console) -> None:
    """Print a verdict."""
    if console.is_terminal:
        console.print(verdict_panel(verdict))
    else:
        console.print(str(verdict), markup=False, highlight=False, soft_wrap=True)


def verdict_panel(verdict: Verdict) -> RenderableType:
    """Return a verdict as a panel."""
    color = _COLORS.get(verdict.status, "bright_black")
    parts: list[RenderableType] = [Text(verdict.headline)]
    for reason in verdict.reasons:
        parts += [Text(), _reason(reason, color)]
    if verdict.signs:
        parts += [Text(), Text(f"{SIGNS}:")]
    for sign in verdict.signs:
        parts += [Text(), Padding(_reason(sign, "dim"), (0, 0, 0, 2))]
    if verdict.promises:
        parts += [Text(), Text(verdict.tally)]
    if not verdict.passed:
        states = [(one, _STATES.get(one.state, "dim")) for one in verdict.promises]
        parts += [Text(f"  {promise}", style=style) for promise, style in states]
    return Panel(
        Group(*parts),
        title=Text(f" {WORDS[verdict.status]}: {verdict.lesson} ", style=f"bold {color}"),
        title_align="left",
        subtitle=Text(f" {verdict.seconds:.1f} s, seed {verdict.seed} ", style="dim"),
        subtitle_align="right",
        border_style=color,
        padding=(1, 2),
    )


def _reason(reason: Reason, color: str) -> Text:
    text = Text()
    if reason.conflict:
        text.append(f"{reason.conflict}  ", style=f"bold {color}")
    text.append(reason.sentence)
    if reason.file:
        text.append(f"\n{short_path(reason.file)}", style="cyan")
        if reason.line:
            text.append(f":{reason.line}", style="cyan")
    if reason.measured is not None:
        text.append("\nmeasured ", style="dim")
        text.append(reason.measured, style="bold")
        if reason.budget is not None:
            text.append(", budget ", style="dim")
            text.append(reason.budget)
    if reason.next_step:
        text.append(f"\nNext: {reason.next_step}")
    return text


def short_path(path: str | Path) -> str:
    """Return a path relative to the working directory where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive on Windows
        return str(path)
    return min(relative, str(path), key=len)
