"""`loopclinic doctor`: checks this computer and prints a repair for everything that does not work.

With `--workshop` it tries every server, JupyterLab and every lesson's check, one after the other, as a
learner would use them, so that the seconds are those of the day.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from loopclinic.cli.doctor_checks import DEEP, EXAMINATIONS, Finding
from loopclinic.units import count

MARKS = {"ok": "ok  ", "note": "note", "to-do": "TO DO"}
PATIENCE = 120.0
"""Seconds within which a computer that is fit for a workshop is through."""
SLOW = "close other programs and plug in the charger; checks will be slow here, but still right."


def configure(parser: argparse.ArgumentParser) -> None:
    deep = "also start JupyterLab and a chat bot (some seconds)"
    parser.add_argument("--deep", action="store_true", help=deep)
    lessons = "all of that, and each lesson's check on its solution (about two minutes)"
    parser.add_argument("--workshop", action="store_true", help=lessons)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print each finding when it is known; return 1 if one of them asks for a repair."""
    began, rows, many = time.perf_counter(), [], 0
    for one, seconds in rehearse() if args.workshop else examine(deep=args.deep):
        rows.append(asdict(one) | ({} if seconds is None else {"seconds": round(seconds, 2)}))
        many += one.state == "to-do"
        if not args.json:
            mark = f"{MARKS[one.state]:5} " + ("" if seconds is None else f"{seconds:5.1f} s ")
            print(f"{mark} {one.name:18}  {one.detail}", flush=True)
            if one.repair:
                print(f"{'':{len(mark) + 21}}-> {one.repair}", flush=True)
    if args.json:
        print(json.dumps({"healthy": not many, "findings": rows}, indent=2))
        return 1 if many else 0
    whole = time.perf_counter() - began
    well = "Ready for the workshop" if args.workshop else "Everything works"
    print(f"\n{count(many, 'thing') + ' to do' if many else well} ({whole:.1f} s).")
    if args.workshop and whole > PATIENCE:
        print(f"That took over {PATIENCE:.0f} s. Expect checks to take their full 15 s here.")
    return 1 if many else 0


def examine(*, deep: bool = False) -> list[tuple[Finding, None]]:
    """Return what each examination found, in their order; they run side by side, so that none has its seconds."""
    chosen = {**EXAMINATIONS, **(DEEP if deep else {})}
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        return [(one, None) for one in pool.map(_tried, chosen, chosen.values())]


def rehearse() -> Iterator[tuple[Finding, float]]:
    """Run every examination in turn and yield what it found, with its seconds; labs are left alone."""
    for name, examination in {**EXAMINATIONS, **DEEP, **_lessons()}.items():
        began = time.perf_counter()
        found = _tried(name, examination)
        yield found, time.perf_counter() - began


def _tried(name: str, examination: Callable[[], Finding]) -> Finding:
    try:
        return examination()
    except Exception as error:
        said = f"the examination itself failed: {type(error).__name__}: {error}"
        repair = "run make setup, then try again; if it fails again, report it with this line."
        return Finding(name, "to-do", said, repair)


def _lessons() -> dict[str, Callable[[], Finding]]:
    try:
        from loopclinic.lessons import lessons  # the light install has none of it
    except ModuleNotFoundError:
        return {}
    with_lab = (one for one in lessons() if one.shipped is not None)
    return {
        f"lesson {one.number}": lambda number=one.number: examine_lesson(number)  # type: ignore[misc]
        for one in with_lab
    }


def examine_lesson(number: str) -> Finding:
    """Check whether this lesson's check passes its solution here."""
    from loopclinic.checks import lab_files  # needs the kit's packages
    from loopclinic.checks.checking import check_lesson
    from loopclinic.lessons import lesson

    one = lesson(number)
    name = f"lesson {one.number}"
    solution = lab_files.solution_path(one)
    verdict = check_lesson(one, file=solution)
    if verdict.passed:
        return Finding(name, "ok", f"{one.title}: its solution passes")
    why = verdict.reasons[0].sentence.split("\n")[0] if verdict.reasons else verdict.headline
    if verdict.status in ("too-busy", "could-not-run"):
        repair = verdict.reasons[0].next_step if verdict.reasons else None
        return Finding(name, "to-do", f"its check can't run: {why}", repair or "run make setup.")
    # A right answer that fails was measured while something else held the machine, or not here.
    if check_lesson(one, file=solution).passed:
        return Finding(name, "note", f"{one.title}: passed on the second try. {why}", SLOW)
    repair = f"close other programs and try loopclinic check {number} --solution again."
    return Finding(name, "to-do", f"its solution failed twice: {why}", repair)
