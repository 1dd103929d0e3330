"""Receives signals in `loopclinic run`, with their senders, to forward them to the program."""

import contextlib
import signal
import time
from dataclasses import dataclass
from typing import Any, Self

_NOT_OURS = ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")
"""No process can handle the first two; the others say that this process itself is broken."""
_TERMINALS = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGWINCH")
"""What a terminal sends to all processes of its foreground group."""


@dataclass(frozen=True, slots=True)
class Received:
    """One signal."""

    number: int
    by_kernel: bool
    """The kernel sent it, not another process; a terminal's signals are the kernel's."""

    @property
    def name(self) -> str:
        """Its name, empty where it has none."""
        try:
            return signal.Signals(self.number).name
        except ValueError:
            return ""

    @property
    def to_the_group(self) -> bool:
        """Whether every process of the group got it, from the terminal or a shell's job control."""
        return self.name == "SIGCONT" or (self.by_kernel and self.name in _TERMINALS)


class Signals:
    """Catches every signal that a program can handle while the block lasts.

    Where the system can wait for signals, they are blocked and waited for: what was ignored stays
    so for the child, and none interrupts this process. Elsewhere handlers catch those that
    are not ignored, and take all that a terminal could have sent for the terminal's.
    """

    def __init__(self) -> None:
        self._waits = hasattr(signal, "sigtimedwait")
        self._before: dict[int, Any] = {}
        self._caught: list[int] = []
        self._mask: set[Any] = set()
        ours = signal.valid_signals()
        self._numbers = {one for one in ours if Received(one, False).name not in _NOT_OURS}

    def __enter__(self) -> Self:
        if self._waits:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        else:
            for number in self._numbers - {getattr(signal, "SIGCHLD", None)}:
                with contextlib.suppress(OSError, ValueError):
                    if signal.getsignal(number) != signal.SIG_IGN:
                        self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        if self._waits:
            while signal.sigtimedwait(self._numbers, 0):  # or it would end us in the next line
                pass
            self.restore()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def restore(self) -> None:
        """Block what was blocked before: for a forked child, which inherits this."""
        if self._waits:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def wait(self, seconds: float) -> Received | None:
        """Return the next signal, None if there is none within `seconds`, or a child has ended."""
        if self._waits:
            found = signal.sigtimedwait(self._numbers, seconds)
            if found is None or (found.si_code > 0 and found.si_signo == signal.SIGCHLD):
                return None
            return Received(found.si_signo, by_kernel=found.si_code > 0)
        if not self._caught:
            time.sleep(seconds)
        return Received(self._caught.pop(0), by_kernel=True) if self._caught else None

    def _catch(self, number: int, _: object) -> None:
        self._caught.append(number)
