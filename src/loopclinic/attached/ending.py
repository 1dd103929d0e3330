"""How watching a process from outside ended, for a program's report."""

from dataclasses import dataclass

from loopclinic.runner.program import Ending


@dataclass(frozen=True, slots=True)
class Detached(Ending):
    """The end of watching from outside; the status of the process is not known."""

    gone: bool = False
    """The process has ended."""

    def __str__(self) -> str:
        return "ended while it was watched" if self.gone else "was watched, and goes on"
