"""Checks a lab from end to end: reads the file, runs a trial in a child, judges it, returns a verdict."""

import os
import secrets
import shutil
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopclinic.checks import check_queue, lab_files, notebook, progress, trial_reasons
from loopclinic.checks.check_queue import Say, Stop
from loopclinic.checks.child_reports import Outcome
from loopclinic.checks.lab_files import LEFT_OUT, Unreadable, python_files, read_settled
from loopclinic.checks.supervisor import Supervisor
from loopclinic.checks.trial_processes import MARK, Limits
from loopclinic.lessons import Lesson, lesson
from loopclinic.lessons.core.scene import Judgement, check_of
from loopclinic.paths import KitNotFoundError
from loopclinic.units import count
from loopclinic.verdict import Reason, Status, Verdict

LONGEST = 45.0
"""Seconds that a verdict may take."""
_AROUND = 3.0
"""Of these, what starting, ending and judging a trial may take; a busy machine may start it later."""

TOO_BUSY = "The machine was too busy to judge this; these are signs, not findings."
OF_KIT = "This says nothing about your file."

RIGHTS = (
    "Checks run your lab file as an ordinary process of yours on this machine, with all the rights "
    "that you have. Check only files that you would run yourself. (Shown once.)"
)


def check(
    number: str | int,
    *,
    file: str | Path | None = None,
    solution: bool = False,
    seed: int | None = None,
    on_step: Say | None = None,
    stop: Stop | None = None,
    say: Say | None = None,
) -> Verdict:
    """Judge the lab of lesson `number`, or `file` by the same contract, or the reference solution.

    `seed` replays a verdict. Only verdicts on the learner's own lab count as progress.
    `on_step` hears what is tried now, `say` a sentence for the learner; both show it in the notebook
    unless given, `say` on standard error elsewhere. A check ends early when `stop()` is true.
    Takes 45 s at most, of most lessons 15; in a room with a queue, from its turn on.

    Raises:
        UnknownLessonError: there is no such lesson.
        NoLabError: it has no lab.
        RuntimeError: called by a lab that is being checked.
    """
    if os.environ.get(MARK):
        raise RuntimeError(
            "A lab that is being checked can't check itself: put loopclinic.check(…) under "
            "`if __name__ == '__main__'`."
        )
    one = lesson(number)
    lab_files.shipped_path(one)
    say = say or notebook.say
    own = file is None and not solution
    try:
        if file is not None:
            path = Path(file).expanduser()
        else:
            path = lab_files.solution_path(one) if solution else lab_files.lab_path(one)
    except KitNotFoundError as error:
        why, headline = (Reason(str(error)),), "The kit's folder was not found."
        return Verdict(one.name, "could-not-run", why, headline=headline)
    _keep(say, lambda kept: _tell_rights(say, kept))
    with notebook.step_line(on_step) as heard, check_queue.turn(say, heard, stop) as refused:
        if refused:
            again = (Reason(refused, next_step="Run it again."),)
            return Verdict(one.name, "could-not-run", again, headline=OF_KIT)
        verdict = check_lesson(one, file=path, seed=seed, on_step=heard, stop=stop)
    if own:
        _keep(say, lambda kept: kept.note(verdict))
    return verdict


def _tell_rights(say: Say, kept: progress.Progress) -> None:
    if not kept.told_about_rights:
        say(RIGHTS)
        kept.told_about_rights = True


def _keep(say: Say, edit: Callable[[progress.Progress], None]) -> None:
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
    on_step: Say | None = None,
    stop: Stop | None = None,
) -> Verdict:
    """Check `file` by the contract of this lesson, without recording progress or printing."""
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
        said = f"The check could not be set up: {error}"
        reason = Reason(said, next_step="Run loopclinic doctor.")
        return no_trial("could-not-run", reason, OF_KIT)
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
    on_step: Say | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Run a copy of `file` in a child and return what was heard; its places are those in `file`."""
    with ExitStack() as stack:
        supervisor = Supervisor(limits)
        stack.callback(supervisor.close)
        copy = supervisor.folder / "lab" / (one.name if file.is_dir() else f"{one.name}.py")
        copy.parent.mkdir()
        if file.is_dir():
            shutil.copytree(file, copy, ignore=LEFT_OUT)
        else:
            copy.write_bytes(read_settled(file))
        supervisor.start(one.package)
        services = {}
        if one.services:
            from loopclinic.servers import SERVICES  # heavy, and most checks of files need none

            services = {name: stack.enter_context(SERVICES[name]()) for name in one.services}
        shipped, entry = lab_files.shipped_path(one), _entry(one, file)
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
                "services": services,
            }
        )
        outcome = supervisor.wait(on_step=on_step, stop=stop)
        outcome.facts = _renamed(outcome.facts, str(copy), str(file))
    return outcome


def conclude(
    one: Lesson, outcome: Outcome, file: Path, text: str, *, seed: int, limits: Limits
) -> Verdict:
    """Return the verdict on a trial of `file`, whose text is `text`, from what its process reported."""

    def verdict(status: Status, *reasons: Reason, headline: str, **about: Any) -> Verdict:
        return Verdict(one.name, status, reasons, seed=seed, headline=headline, **about)

    failed = trial_reasons.could_not_run(outcome, limits)
    if failed is not None:
        return verdict("could-not-run", failed, headline=OF_KIT)
    end = trial_reasons.reason_of_end(outcome, file, text, limits)
    busy = trial_reasons.too_busy(outcome, limits)
    try:
        found = _judge(one, outcome.facts, file, text, ended=end is None)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"loopclinic could not judge what it measured: {type(error).__name__}: {error}"
        said += f" ({Path(last.filename).name}:{last.lineno})"
        reason = Reason(said, next_step="Report this with the seed above.")
        return verdict("could-not-run", reason, headline=OF_KIT)
    reasons, vitals = list(found.reasons), outcome.facts.get("vitals") or {}
    about: dict[str, Any] = {"vitals": vitals, "promises": found.promises}

    def uncertain(busy: Reason, *signs: Reason) -> Verdict:
        # What needed no time is sure on any machine.
        sure = [one for one in signs if not one.timed and one is not end]
        known = {one.promise for one in sure}
        promises = tuple(
            replace(one, state="not-judged")
            if one.state == "broken" and one.number not in known
            else one
            for one in found.promises
        )
        signs = tuple(one for one in signs if one not in sure)
        only = {"vitals": vitals, "promises": promises, "signs": signs}
        if sure:
            many, rest = count(len(sure), "problem"), "the machine was too busy to judge the rest."
            return verdict("not-yet", *sure, headline=f"{many} found; {rest}", **only)
        return verdict("too-busy", busy, headline=TOO_BUSY, **only)

    if end is not None:
        reasons = [one for one in reasons if not one.conflict or one.conflict != end.conflict]
        if busy is not None and outcome.cause == "deadline":
            return uncertain(busy, end, *reasons)
        headline = "The check did not get to its end."
        # What never ran is why others wait for it.
        reasons = sorted([end, *reasons], key=lambda one: one.conflict != trial_reasons.UNAWAITED)
        return verdict("not-yet", *reasons, headline=headline, **about)
    timed = any(reason.timed for reason in reasons)
    if busy is not None and timed and not check_of(one.package).virtual:
        return uncertain(busy, *reasons)
    if reasons:
        headline = f"{count(len(reasons), 'problem')} found."
        return verdict("not-yet", *reasons, headline=headline, **about)
    return verdict("passed", headline=f"{found.praise} Next: loopclinic next.", **about)


def lab_text(one: Lesson, file: Path) -> str:
    """Return a file's text; of a folder none, for a line in it could be any file's."""
    if not file.is_dir():
        if file.exists() and lab_files.shipped_path(one).is_dir():
            said = f"{file.name} is a file, but this lab is a folder."
            raise Unreadable(said, None, f"Pass a folder with the same layout as labs/{one.name}.")
        return read_settled(file).decode("utf-8", "replace")
    entry = file / _entry(one, file)
    if not entry.exists() and not lab_files.shipped_path(one).is_dir():
        entry = file  # where a file is meant, a folder without `__init__.py` is no package
    for path in (entry, *python_files(file)):
        try:
            read_settled(path, may_be_empty=path != entry)
        except Unreadable as error:
            raise replace(error, path=path) from None
    return ""


def _entry(one: Lesson, file: Path) -> str:
    """Return what is imported of a folder, relative to it; of a file, nothing."""
    shipped = lab_files.shipped_path(one)
    if shipped.is_dir() and one.contract is not None:
        return one.contract.relative_to(shipped).as_posix()
    return "__init__.py" if file.is_dir() else ""


def _renamed(value: Any, copy: str, shown: str) -> Any:
    """Put the learner's path where the copy's stands, in any JSON value."""
    if isinstance(value, str):
        return value.replace(copy, shown)
    if isinstance(value, list):
        return [_renamed(one, copy, shown) for one in value]
    if isinstance(value, dict):
        return {key: _renamed(one, copy, shown) for key, one in value.items()}
    return value


def _judge(one: Lesson, facts: dict[str, Any], lab: Path, text: str, *, ended: bool) -> Judgement:
    """Judge what a trial reported: all of it, or what was reached before it was `ended` early."""
    check, left = check_of(one.package), None
    if ended:
        judged, promise = check.leftovers_judged, check.leaves_nothing
        left = trial_reasons.reasons_for_leftovers(facts, lab, text, judged, promise=promise)
    found = check.judge(facts, one.promises, left)
    reasons = [*trial_reasons.reasons_for_never_awaited(facts, lab, found.reasons), *found.reasons]
    reasons = [replace(reason, file=reason.file or str(lab)) for reason in reasons]
    return replace(found, reasons=tuple(reasons))
