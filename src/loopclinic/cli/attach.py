"""`loopclinic attach PID`: shows what the event loops of a running process are stuck at, from outside."""

import argparse
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loopclinic.attached.attached_loop import INTERVAL, AttachedLoop, in_words
from loopclinic.attached.rights import AttachError
from loopclinic.attached.sampler import Family, command_of
from loopclinic.cli.arguments import refuse, seconds, unwritable, write_all
from loopclinic.runner.program_record import Recording
from loopclinic.units import count

FREE, STUCK, REFUSED, NO_LOOP = 0, 1, 2, 3
"""Exit statuses of --once."""
_THRESHOLD, _ONCE = 0.05, 0.5  # seconds
_LOOKS = 8  # before a stuck loop is told: whether it computes shows only after some
_LATE = 0.8  # seconds after which it is told with fewer: this machine is busy
_PATIENCE = 0.2  # seconds until a process without a loop is called so
_LONG = 0.5  # seconds from which on a stall is told while it lasts
_AGAIN = 5.0  # seconds between two lines of stalls at one place
_STATUS = 0.25  # seconds between two writings of a terminal's last line


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "loopclinic attach [options] PID"
    parser.epilog = (
        "Reads a CPython 3.11 to 3.15 process of your own user on Linux; nothing is written into it. "
        f"Exit status with --once: {FREE} no loop is stuck, {STUCK} one is, {REFUSED} the process can't be read, "
        f"{NO_LOOP} no event loop runs in it. Otherwise 0, and {REFUSED} where it can't be read."
    )
    add = parser.add_argument
    add("pid", metavar="PID", nargs="?", type=int, help="number of the process")
    add("--once", action="store_true", help="say in a second whether a loop is stuck, and where")
    rights = "say whether the process can be read, and what is missing"
    add("--doctor", action="store_true", help=rights)
    add("--children", action="store_true", help="look at the Python processes it started, too")
    stuck = "a loop is stuck if one iteration is busy for longer than S seconds "
    stuck += f"(default: {_THRESHOLD}; with --once {_ONCE})"
    add("--threshold", type=seconds, metavar="S", help=stuck)
    add("--seconds", type=seconds, metavar="S", help="stop after S seconds")
    add("--html", type=Path, metavar="FILE", help="write the report as one page")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Watch the process until it ends, or until an interrupt; return the exit status."""
    if args.doctor:
        return _doctor(args.pid)
    if args.pid is None:
        return refuse("attach needs the number of a process: loopclinic attach PID.", REFUSED)
    for complaint in filter(None, map(unwritable, (args.html, args.json))):
        return refuse(complaint)
    threshold = args.threshold or (_ONCE if args.once else _THRESHOLD)
    command = " ".join(command_of(args.pid))
    recording = Recording()
    try:
        family = Family(args.pid, recording.handle, threshold=threshold, children=args.children)
    except AttachError as error:
        return refuse(error, REFUSED)
    try:
        if args.once:
            found = _once(family, threshold)
        else:
            found = FREE
            _watch(family, args.seconds)
    finally:
        family.close()
    if args.once and not (args.html or args.json):
        return found
    _report(args, recording, family, threshold, command)
    return found


def _once(family: Family, threshold: float) -> int:
    """Look until each loop has answered or is stuck for `threshold` seconds; print a line each."""
    began, looks = time.monotonic(), 0
    said: dict[AttachedLoop, str] = {}
    stuck: set[AttachedLoop] = set()
    while not family.gone:
        running = family.look()
        looks += 1
        passed = time.monotonic() - began
        for loop in running:
            if loop in said:
                continue
            age, late = loop.snapshot().age, looks >= _LOOKS or passed > _LATE
            if loop.idle or (loop.resting and passed > _PATIENCE):
                said[loop] = "waits for events"
            elif loop.iterations:
                said[loop] = "goes round"
            elif age >= threshold and late and (stall := loop.current()) is not None:
                said[loop] = f"stuck for {in_words(stall)}"
                stuck.add(loop)
        # A loop that moves too much to be read may be readable in a moment.
        unsure = family.unsure and passed < threshold + _PATIENCE
        if not unsure and all(loop in said for loop in running) and (running or passed > _PATIENCE):
            break
        time.sleep(INTERVAL)
    if not family.loops:
        sampler = family.samplers[family.pid]
        what = "ended" if family.gone else f"runs no event loop (Python {sampler.process.release})"
        print(f"process {family.pid} {what}.")
        return REFUSED if family.gone else NO_LOOP
    for loop in family.loops:
        name = f"{loop.thread}: " if len(family.loops) > 1 else ""
        print(f"{name}{said.get(loop, 'has stopped')}")
    return STUCK if stuck else FREE


def _watch(family: Family, seconds: float | None) -> None:
    """Look until the process ends, `seconds` have passed, or a signal comes; show what is found."""
    lines = _Lines()
    pid, began = family.pid, time.monotonic()
    lines.say(f"attached to process {pid}; end with Ctrl-C")
    with _signals() as asked:
        while not family.gone and not asked():
            if seconds is not None and time.monotonic() - began >= seconds:
                break
            lines.show(family, family.look())
            time.sleep(INTERVAL)
    lines.close()


class _Lines:
    """Live lines on standard error; in a terminal the last one says what is so now."""

    def __init__(self) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._told: dict[AttachedLoop, float] = {}  # stalls in progress: when they are told again
        self._seen: dict[AttachedLoop, int] = {}
        self._places: dict[str, tuple[float, int]] = {}  # when each is due again; stalls since
        self._shown = 0.0

    def show(self, family: Family, running: list[AttachedLoop]) -> None:
        """Tell what is new since the last look."""
        several = len(family.loops) > 1
        status = []
        now = time.monotonic()
        due = self._terminal and now - self._shown >= _STATUS
        for loop in family.loops:
            name = f"{loop.thread}: " if several else ""
            self._ended(loop, name)
            if loop not in running:
                continue
            age = loop.snapshot().age
            long = age >= max(loop.threshold, _LONG) and age >= self._told.get(loop, 0.0)
            current = loop.current() if due or long else None
            if long and current is not None:
                self._told[loop] = 2 * age
                self.say(f"{name}stuck for {in_words(current)}")
            status.append(f"{name}{f'stuck for {in_words(current)}' if current else 'free'}")
        if due:
            self._shown = now
            self._status(" | ".join(status) or "no event loop runs")

    def _ended(self, loop: AttachedLoop, name: str) -> None:
        """Tell the stalls of a loop that have ended since the last look: of each line the first, then now and then."""
        stalls, self._seen[loop] = loop.stalls_since(self._seen.get(loop, 0))
        now = time.monotonic()
        for stall in stalls:
            self._told.pop(loop, None)
            due, more = self._places.get(stall.where, (0.0, 0))
            if now < due:
                self._places[stall.where] = due, more + 1
                continue
            self._places[stall.where] = now + _AGAIN, 0
            again = f" ({count(more, 'time', 'times')} more)" if more else ""
            self.say(f"{name}was stuck for {in_words(stall)}{again}")

    def say(self, words: str) -> None:
        """Write one line."""
        self._write(f"{_CLEAR if self._terminal else ''}loopclinic: {words}\n")

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._terminal:
            self._write(_CLEAR)

    def _status(self, words: str) -> None:
        self._write(f"{_CLEAR}{words[: shutil.get_terminal_size().columns - 1]}")

    def _write(self, text: str) -> None:
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(text)
                sys.stderr.flush()


_CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGINT or SIGTERM came, which end the block's work in good order."""
    came: list[int] = []
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in ends}
    try:
        yield lambda: bool(came)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _report(
    args: argparse.Namespace, recording: Recording, family: Family, threshold: float, command: str
) -> None:
    from loopclinic.runner.program import Detached  # the first answer shall not wait for these
    from loopclinic.runner.program_report import Review

    each = f"every {INTERVAL * 1000:.0f} ms"
    review = Review.of(
        recording,
        f"process {args.pid} ({command})",
        Detached(0, orderly=True, seconds=time.monotonic() - family.began, gone=family.gone),
        threshold=threshold,
        command=f"loopclinic attach --threshold {threshold:g} {args.pid}",
        notes=[f"it was looked at from outside, {each}: shorter iterations are not counted."],
    )
    print(review)
    write_all((args.html, review.to_html), (args.json, review.to_json))


def _doctor(pid: int | None) -> int:
    from loopclinic.attached.attach_doctor import rows

    marks = {True: "ok", False: "no", None: ""}
    status = FREE
    for row in rows(pid):
        print(f"{marks[row.good]:>3} {row.name:<15} {row.sentence}")
        if row.good is False:
            status = REFUSED
    return status
