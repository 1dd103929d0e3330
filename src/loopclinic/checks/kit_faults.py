"""Why a trial says nothing of the learner's file: the kit or the machine is to blame."""

import re

from loopclinic.checks.ends import stopped_loop
from loopclinic.checks.hearing import Outcome
from loopclinic.checks.limits import Limits
from loopclinic.checks.shortage import WINDOW
from loopclinic.verdict import Reason

__all__ = ["could_not_run", "doubt"]

_SHORT = 0.3
"""Share of the trial's time that others took, from which on what was measured may be their doing."""
_GONE = 0.6
"""Share of any two seconds, from which on a promise that was judged in them may have missed it."""
_RESTLESS = 0.9
"""Share of its time for which only a lab that computes without end wants the processor."""


def could_not_run(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return why the kit or the machine is to blame for the end, or None if it is not."""
    end = outcome.end
    if outcome.cause == "stopped":
        return Reason("The check was stopped.", next_step="Run it again.")
    if not outcome.ready and outcome.cause in ("died", "deadline"):
        if outcome.cause == "deadline":
            sentence = f"The check did not get ready within {limits.start:.0f} s."
            step = "Close what keeps this machine busy and check again."
        else:
            last = (outcome.output.strip().splitlines() or ["nothing was said"])[-1]
            sentence = f"The check's process did not start: {last[:300]}"
            step = "Run loopclinic doctor."
        return Reason(sentence, next_step=step)
    if end.get("type") == "ServerError" and end["place"] is None:
        return Reason(end["message"], next_step="Check again: the kit starts its servers anew.")
    if end.get("how") == "kit":
        return _kit_failed(end["message"], end["trace"])
    if (
        end.get("how") == "raised"
        and end["place"] is None
        and end["raised_in"] == "kit"
        and not stopped_loop(end)
    ):
        return _kit_failed(f"{end['type']}: {end['message']}", end["trace"])
    return None


def doubt(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return why times and deadlines of this trial tell little of the lab, or None if they do."""
    measured, budget = f"{outcome.shortage:.0%} of the time", f"{_SHORT:.0%}"
    if outcome.shortage <= _SHORT:
        if outcome.worst_shortage <= _GONE:
            return None
        measured, budget = f"{outcome.worst_shortage:.0%} of {WINDOW:.0f} s", f"{_GONE:.0%}"
    if outcome.cause == "deadline":
        stuck = outcome.stuck["seconds"] if outcome.stuck is not None else 0.0
        if outcome.wanted > _RESTLESS or stuck > limits.seconds / 2:
            return None  # more of the processor would not have ended it
    return Reason(
        "Other programs had the processor for much of the time that the lab wanted it, and what "
        "was seen may be their doing.",
        measured=measured,
        budget=budget,
        next_step="Close what keeps this machine busy and check again.",
    )


def _kit_failed(message: str, trace: str) -> Reason:
    places = re.findall(r'File "(.*loopclinic.*)", line (\d+)', trace)
    file, line = places[-1] if places else (None, None)
    return Reason(
        f"loopclinic itself failed: {message or 'no message'}",
        file=file,
        line=int(line) if line else None,
        next_step="Run loopclinic doctor; if it is content, report this with the place above.",
    )
