"""Decides whether one call of a thread keeps the GIL, from the scheduler's counters and its position."""

from collections.abc import Callable
from typing import NamedTuple

from loopclinic.probe.schedule import times

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
    """One moment after a beat."""

    beat: float
    silent: float
    """Seconds since then."""
    watchdog: Account | None


class Holder(NamedTuple):
    """Who holds the GIL at that moment."""

    at: object
    """Which thread it is, and at which instruction."""
    account: Account | None


_NEVER = Look(0.0, 0.0, None)


class HolderCheck:
    """Checks whether one call keeps the GIL; certainty grows from look to look until the next beat.

    Who is asked for the GIL gives it away between two instructions, and waits until it is taken. So
    a thread that holds it, has worked on for a while since somebody asked, or rests with it, and is
    still at the same instruction, is in a call that keeps it.
    """

    def __init__(self) -> None:
        self._first = _NEVER
        self._asked: tuple[Look, Holder] | None = None

    def certain(self, look: Look, holder: Callable[[], Holder | None]) -> bool:
        """Add a look; return whether one call is now known to keep the GIL, and start again if so.

        `holder` says who holds the GIL, None if nobody does.
        """
        if look.beat != self._first.beat:
            self._first, self._asked = look, None
        if not self._wanted(look):
            return False
        now, asked = holder(), self._asked
        if now is None or asked is None or now.at != asked[1].at:
            self._asked = None if now is None else (look, now)
            return False
        sure = _kept(*asked, look, now)
        if sure:
            self._asked = look, now
        return sure

    def _wanted(self, look: Look) -> bool:
        """Return whether the watchdog has asked for the GIL since its last beat."""
        first, now = self._first.watchdog, look.watchdog
        return first is None or now is None or now.turns - first.turns >= WAKES


def _kept(asked: Look, first: Holder, look: Look, now: Holder) -> bool:
    """Return whether the holder would have given it away since `asked`, had it been between two calls."""
    before, after = first.account, now.account
    if before is None or after is None or look.watchdog is None:
        return look.silent > STARVED
    rests = not before.wants and not after.wants and look.silent - asked.silent >= SURE
    return rests or after.ran - before.ran >= SURE


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
