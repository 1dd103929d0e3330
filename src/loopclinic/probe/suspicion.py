"""Whether a thread keeps the GIL: what the kernel says of it and of one that waits, and where it is."""

from collections.abc import Callable
from typing import NamedTuple

from loopclinic.probe.schedule import times

__all__ = ["STARVED", "SURE", "WAKES", "Account", "Look", "Suspicion", "account"]

WAKES = 2  # of who waits for the GIL: it asks for it after the first, in vain if there is another
SURE = 0.008  # seconds at work or at rest with a GIL asked for; the kernel counts in ticks
STARVED = 0.25  # seconds: longer than a busy machine keeps a thread from its processors


class Account(NamedTuple):
    """One thread at one moment."""

    wants: bool
    """It runs, or could and has no processor."""
    ran: float
    """Seconds since it began."""
    turns: int
    """How often it was given a processor."""


class Look(NamedTuple):
    """Both threads at one moment after a beat."""

    beat: float
    silent: float
    """Seconds since then."""
    loop: Account | None
    watchdog: Account | None


_NONE = Look(0.0, 0.0, None, None)


class Suspicion:
    """That one call of the loop's thread keeps the GIL: grows from look to look until the next beat.

    Who is asked for the GIL gives it away between two instructions, and waits until it is taken. So
    a thread that holds it, has worked on for a while since somebody asked, or rests with it, and is
    still at the same instruction, is in a call that keeps it.
    """

    def __init__(self) -> None:
        self._first = self._asked = _NONE
        self._at: object = None

    def grows(self, look: Look, held: Callable[[], object]) -> bool:
        """Take one more look; return whether it is certain now, and begin to doubt again.

        `held` says where the loop's thread is if it holds the GIL, None if it does not.
        """
        if look.beat != self._first.beat:
            self._first, self._asked = look, _NONE
        if not self._wanted(look):
            return False
        at, before = held(), self._at
        if at is None or self._asked is _NONE or at != before:
            self._at, self._asked = at, look if at is not None else _NONE
            return False
        sure = self._kept(look)
        if sure:
            self._asked = look
        return sure

    def _wanted(self, look: Look) -> bool:
        """Whether the watchdog has asked for the GIL since its last beat."""
        first, now = self._first.watchdog, look.watchdog
        return first is None or now is None or now.turns - first.turns >= WAKES

    def _kept(self, look: Look) -> bool:
        """Whether the loop's thread would have given it away since, had it been between two calls."""
        asked, loop = self._asked.loop, look.loop
        if asked is None or loop is None or look.watchdog is None:
            return look.silent > STARVED
        rests = not asked.wants and not loop.wants and look.silent - self._asked.silent >= SURE
        return rests or loop.ran - asked.ran >= SURE


def account(pid: int, thread: int) -> Account | None:
    """Return what the kernel says of a thread: proc(5), stat and schedstat; None if it does not."""
    folder = f"/proc/{pid}/task/{thread}"
    try:
        with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123
            state = file.read().rpartition(b")")[2].split()[0]
        with open(f"{folder}/schedstat", "rb") as file:  # noqa: PTH123
            seen = times(file.read())
    except (OSError, IndexError, ValueError):
        return None
    return Account(state == b"R", seen.ran, seen.turns)
