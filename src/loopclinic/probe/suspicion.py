"""Whether a thread keeps the GIL, by what the kernel says of it and of one that waits."""

from typing import NamedTuple

__all__ = ["STARVED", "SURE", "WAKES", "Account", "Look", "Suspicion", "account"]

WAKES = 2  # of who waits for the GIL: it asks for it after the first, in vain if there is another
SURE = 0.008  # seconds of work without letting go of a GIL asked for; the kernel counts in ticks
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
    loop: Account | None
    watchdog: Account | None


class Suspicion:
    """That the loop's thread keeps the GIL: grows from look to look until the next beat."""

    def __init__(self) -> None:
        self.first = self.asked = Look(0.0, None, None)

    def grows(self, look: Look, silent: float) -> bool:
        """Take one more look; return whether it is certain now, and begin to doubt again."""
        if look.beat != self.first.beat:
            self.first, self.asked = look, Look(0.0, None, None)
        first, (_, loop, watchdog) = self.first, look
        if loop is None or watchdog is None or first.watchdog is None:
            return silent > STARVED
        if watchdog.wants or watchdog.turns - first.watchdog.turns < WAKES:
            return False  # it waits for a processor, or for something else than the GIL
        if self.asked.loop is None:
            self.asked = look
        elif loop.ran - self.asked.loop.ran >= SURE or (silent > STARVED and not loop.wants):
            self.asked = look
            return True
        return False


def account(pid: int, thread: int) -> Account | None:
    """Return what the kernel says of a thread: proc(5), stat and schedstat; None if it does not."""
    folder = f"/proc/{pid}/task/{thread}"
    try:
        with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123
            state = file.read().rpartition(b")")[2].split()[0]
        with open(f"{folder}/schedstat", "rb") as file:  # noqa: PTH123
            ran, _, turns = file.read().split()
    except (OSError, IndexError, ValueError):
        return None
    return Account(state == b"R", int(ran) * 1e-9, int(turns))
