"""The table of docs/jupyterhub.md: what learners at once took, as benchmarks/room.py measured it."""

import statistics
from pathlib import Path
from typing import Any

from room_hub import IDLE

TOO_BUSY = "too-busy"
"""The status of a verdict that judges nothing, because other programs had the processors."""


def table(kept: dict[str, Any]) -> str:
    """Return what was measured as a table in Markdown."""
    people, left, live = kept["learners"], kept["left"], kept["live_room"]
    verdicts = [one for learner in people for one in learner["verdicts"]]
    judged = [one for one in verdicts if one["status"] != TOO_BUSY]
    right = sum(one["status"] == one["expected"] for one in judged)
    spans = {
        "seconds to the page": [one["page"] for one in people],
        "seconds to a verdict, queue included": [one["waited"] for one in verdicts],
        "seconds of the check alone": [one["took"] for one in verdicts if one["took"]],
        "checks before one's own, at most": [max(one["places"], default=0) for one in people],
        "memory of a learner, MB": [one["memory"] / 1e6 for one in people],
    }
    rows = [
        f"| {name} | {min(values):.0f} | {statistics.median(values):.0f} | {max(values):.0f} |"
        for name, values in spans.items()
        if values
    ]
    refused = [*people[0]["refused"].values()]
    others = (
        f"{kept['busy_before']:.0f} % of the processors were busy with other programs before it"
    )
    facts = [
        f"{len(people)} learners, {kept['at_once']} check at once, {kept['cores']} cores; {others}.",
        f"Cells run: {sum(one['cells'] for one in people)}; learners with an error: {sum(bool(one['errors']) for one in people)}.",
        f"Verdicts: {right} right, {len(judged) - right} wrong, {len(verdicts) - len(judged)} none: the machine was too busy.",
        f"In the live room without doing anything: {live['there']}, and the facilitator.",
        f"Back by themselves after it was killed: {live['back']}, of those whose servers still ran.",
        f"Attempts of the hostile learner: {len(refused)}, refused: {sum(map(bool, refused))}.",
    ]
    (_, seconds), *others_left = left.items()
    told = ", ".join(f"{what} {number:.0f}" for what, number in others_left)
    facts.append(f"Left {seconds:.0f} s after the last check (servers end after {IDLE}): {told}.")
    head = ["| what | least | median | most |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, "", *(f"- {fact}" for fact in facts)])


def put_into(page: Path, kept: dict[str, Any]) -> None:
    """Replace the table of a page, between its two marks."""
    before, begin, rest = page.read_text().partition("<!-- measured by benchmarks/room.py -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (begin and end):
        raise SystemExit(f"{page} has no marks to put the table between")
    page.write_text(f"{before}{begin}{table(kept)}\n{end}{after}")
