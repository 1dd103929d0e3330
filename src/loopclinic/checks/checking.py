"""A check from end to end: the learner's file, a trial in a child, the lesson's judgement, a verdict."""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopclinic.checks import kit_faults, labs, notebook, progress
from loopclinic.checks.ends import reason_of_end
from loopclinic.checks.hearing import Outcome
from loopclinic.checks.limits import MARK, Limits
from loopclinic.checks.residue import reasons_for_residue
from loopclinic.checks.source import LEFT_OUT, Unreadable, python_files, read_settled
from loopclinic.checks.supervisor import Supervisor
from loopclinic.lessons import Lesson, Trial, lesson
from loopclinic.lessons.core.scene import Judgement
from loopclinic.lessons.rehearsed import check_of
from loopclinic.places import KitNotFoundError
from loopclinic.units import count
from loopclinic.verdict import Reason, Status, Verdict

__all__ = [
    "RIGHTS",
    "TOO_BUSY",
    "check",
    "check_lesson",
    "conclude",
    "lab_text",
    "limits_of",
    "run_trial",
]

LONGEST = 30.0
"""Seconds that a verdict may take."""
_AROUND = 3.0
"""Of these, what starting, ending and judging a trial may take; a busy machine may start it later."""

TOO_BUSY = "The machine was too busy to tell."

RIGHTS = (
    "Checks run your lab file as an ordinary process of yours on this machine, with all the rights "
    "that you have. Check only files that you would run yourself. (Said once.)"
)


def check(
    number: str | int,
    *,
    file: str | Path | None = None,
    solution: bool = False,
    seed: int | None = None,
    on_step: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    say: Callable[[str], None] | None = None,
) -> Verdict:
    """Judge the lab of lesson `number`, or `file` by the same contract, or the reference solution.

    `seed` replays a verdict. Only verdicts on the learner's own lab count as progress.
    `on_step` hears what is tried now, `say` a sentence for the learner; both show it in the notebook
    unless given, `say` on standard error elsewhere. A check ends early when `stop()` is true.
    Takes 30 s at most, of most lessons 15.

    Raises:
        UnknownLessonError: there is no such lesson.
        NoLabError: it has no lab.
        RuntimeError: called by a lab that is being checked.
    """
    if os.environ.get(MARK):
        raise RuntimeError(
            "A lab that is being checked can't check itself: put loopclinic.check(…) under "
            "if __name__ == '__main__':."
        )
    one = lesson(number)
    labs.shipped_path(one)
    say = say or notebook.say
    own = file is None and not solution
    try:
        if file is not None:
            path = Path(file).expanduser()
        else:
            path = labs.solution_path(one) if solution else labs.lab_path(one)
    except KitNotFoundError as error:
        return Verdict(
            one.name,
            "could-not-run",
            (Reason(str(error)),),
            headline="The kit's folder was not found.",
        )
    _keep(say, _tell_rights(say))
    with notebook.step_line(on_step) as heard:
        verdict = check_lesson(one, file=path, seed=seed, on_step=heard, stop=stop)
    if own:
        _keep(say, lambda kept: kept.note(verdict))
    return verdict


def _tell_rights(say: Callable[[str], None]) -> Callable[[progress.Progress], None]:
    def tell(kept: progress.Progress) -> None:
        if not kept.told_about_rights:
            say(RIGHTS)
            kept.told_about_rights = True

    return tell


def _keep(say: Callable[[str], None], edit: Callable[[progress.Progress], None]) -> None:
    try:
        with progress.change() as kept:
            if kept.complaint:
                say(kept.complaint)
            edit(kept)
    except progress.ProgressError as error:
        say(str(error))  # a verdict is worth having also where nothing can be kept


def check_lesson(
    one: Lesson,
    *,
    file: Path,
    seed: int | None = None,
    limits: Limits | None = None,
    on_step: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Verdict:
    """Judge `file` by the contract of this lesson; keeps nothing, says nothing."""
    started = time.monotonic()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    limits = limits or limits_of(one)
    file = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would lose a link's own name

    def no_trial(status: Status, reason: Reason, headline: str) -> Verdict:
        seconds = time.monotonic() - started
        return Verdict(one.name, status, (reason,), seed=seed, seconds=seconds, headline=headline)

    try:
        text = lab_text(one, file)
    except Unreadable as error:
        place = str(error.path or file)
        reason = Reason(error.sentence, file=place, line=error.line, next_step=error.next_step)
        return no_trial("not-yet", reason, "There is nothing to run yet.")
    try:
        outcome = run_trial(one, file, seed, limits, on_step=on_step, stop=stop)
    except Exception as error:
        reason = Reason(
            f"The check could not be set up: {error}", next_step="Run loopclinic doctor."
        )
        return no_trial("could-not-run", reason, "This says nothing about your file.")
    verdict = conclude(one, outcome, file, text, seed=seed, limits=limits)
    return replace(verdict, seconds=time.monotonic() - started)


def limits_of(one: Lesson) -> Limits:
    """Return what a trial of this lesson's lab may use."""
    return Limits(seconds=min(one.deadline, LONGEST) - _AROUND)


def run_trial(
    one: Lesson,
    file: Path,
    seed: int,
    limits: Limits,
    *,
    on_step: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run a copy of `file` in a child and return what was heard; its places are those in `file`."""
    with ExitStack() as stack:
        supervisor = _begin(one, file, seed, limits, stack)
        outcome = supervisor.wait(on_step=on_step, stop=stop)
        copy = _copy_in(supervisor.folder, one, file)
        outcome.facts = _renamed(outcome.facts, str(copy), str(file))
    return outcome


def conclude(
    one: Lesson, outcome: Outcome, file: Path, text: str, *, seed: int, limits: Limits
) -> Verdict:
    """Return the verdict on a trial of `file`, whose text is `text`, from what was heard of it."""

    def verdict(status: Status, *reasons: Reason, headline: str, **about: Any) -> Verdict:
        return Verdict(one.name, status, reasons, seed=seed, headline=headline, **about)

    failed = kit_faults.could_not_run(outcome, limits)
    if failed is not None:
        return verdict("could-not-run", failed, headline="This says nothing about your file.")
    end = reason_of_end(outcome, file, text, limits)
    doubt = kit_faults.doubt(outcome, limits)
    trial = Trial(
        lesson=one.name,
        seed=seed,
        facts=outcome.facts,
        lab=file,
        seconds=outcome.seconds,
        output=outcome.output,
    )
    try:
        found = _judge(one, trial, text, ended=end is None)
    except Exception as error:
        reason = Reason(
            f"loopclinic could not judge what it measured: {type(error).__name__}: {error}",
            next_step="Report this with the seed above.",
        )
        return verdict("could-not-run", reason, headline="This says nothing about your file.")
    reasons = list(found.reasons)
    about: dict[str, Any] = {
        "vitals": outcome.facts.get("vitals") or {},
        "promises": found.promises,
    }
    if end is not None:
        reasons = [one for one in reasons if not one.conflict or one.conflict != end.conflict]
        if doubt is not None and outcome.cause == "deadline":
            return verdict("could-not-run", doubt, end, *reasons, headline=TOO_BUSY, **about)
        headline = "The check did not get to its end."
        return verdict("not-yet", end, *reasons, headline=headline, **about)
    if doubt is not None and reasons:
        reasons = sorted(reasons, key=lambda reason: reason.timed)  # the first is what is acted on
        if reasons[0].timed:
            return verdict("could-not-run", doubt, *reasons, headline=TOO_BUSY, **about)
    if reasons:
        headline = f"{count(len(reasons), 'thing')} to mend."
        return verdict("not-yet", *reasons, headline=headline, **about)
    return verdict("passed", headline=f"{found.praise} Next: loopclinic next.", **about)


def lab_text(one: Lesson, file: Path) -> str:
    """Return a file's text; of a folder none, for a line in it could be any file's."""
    if not file.is_dir():
        if file.exists() and labs.shipped_path(one).is_dir():
            raise Unreadable(
                f"{file.name} is no folder, and this lab is one.",
                None,
                f"Name a folder laid out like labs/{one.name}.",
            )
        return read_settled(file).decode("utf-8", "replace")
    entry = file / _entry(one, file)
    if not entry.exists() and not labs.shipped_path(one).is_dir():
        entry = file  # where a file is meant, a folder without `__init__.py` is no package
    for path in (entry, *python_files(file)):
        try:
            read_settled(path, may_be_empty=path != entry)
        except Unreadable as error:
            raise replace(error, path=path) from None
    return ""


def _entry(one: Lesson, file: Path) -> str:
    """Return what is imported of a folder, relative to it; of a file, nothing."""
    shipped = labs.shipped_path(one)
    if shipped.is_dir() and one.contract is not None:
        return one.contract.relative_to(shipped).as_posix()
    return "__init__.py" if file.is_dir() else ""


def _copy_in(folder: Path, one: Lesson, file: Path) -> Path:
    return folder / "lab" / (one.name if file.is_dir() else f"{one.name}.py")


def _begin(one: Lesson, file: Path, seed: int, limits: Limits, stack: ExitStack) -> Supervisor:
    """Start a trial of a copy of `file`; the stack ends it and its services."""
    supervisor = Supervisor(limits)
    stack.callback(supervisor.close)
    copy = _copy_in(supervisor.folder, one, file)
    copy.parent.mkdir()
    if file.is_dir():
        shutil.copytree(file, copy, ignore=LEFT_OUT)
    else:
        copy.write_bytes(read_settled(file))
    supervisor.start(one.package)
    shipped, entry = labs.shipped_path(one), _entry(one, file)
    supervisor.send(
        {
            "package": one.package,
            "name": Path(entry).parent.name or one.name,
            "entry": entry,
            "shipped_entry": _entry(one, shipped),
            "copy": str(copy),
            "shown": str(file),
            "shipped": str(shipped),
            "public": list(one.public),
            "seed": seed,
            "services": _start_services(one, stack),
        }
    )
    return supervisor


def _start_services(one: Lesson, stack: ExitStack) -> dict[str, str]:
    if not one.services:
        return {}
    from loopclinic.servers import SERVICES  # noqa: PLC0415 - heavy, and most checks of files need none

    return {name: stack.enter_context(SERVICES[name]()) for name in one.services}


def _renamed(value: Any, copy: str, shown: str) -> Any:
    """Put the learner's path where the copy's stands, in any JSON value."""
    if isinstance(value, str):
        return value.replace(copy, shown)
    if isinstance(value, list):
        return [_renamed(one, copy, shown) for one in value]
    if isinstance(value, dict):
        return {key: _renamed(one, copy, shown) for key, one in value.items()}
    return value


def _judge(one: Lesson, trial: Trial, text: str, *, ended: bool) -> Judgement:
    """Judge a trial, or as much as was reached of one that was `ended` early."""
    check = check_of(one.package)
    left = (
        reasons_for_residue(trial, text, check.leftovers_judged, promise=check.leaves_nothing)
        if ended
        else None
    )
    found = check.judge(trial, one.promises, left)
    reasons = (
        reason if reason.file is not None else replace(reason, file=str(trial.lab))
        for reason in found.reasons
    )
    return replace(found, reasons=tuple(reasons))
