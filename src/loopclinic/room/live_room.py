"""A live room: who is in it under which key, how far they are, and how many minutes lessons take."""

import hmac
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, inf
from statistics import median

from loopclinic.checks.class_results import HandIn, Learner, labeled
from loopclinic.lessons import Lesson
from loopclinic.lessons.start_here.lesson_plans import Route
from loopclinic.room.entry import Entry, RefusedEntryError, read_entry

MOST = 200
"""Learners in a room."""
AWAY = 60.0
"""Seconds without an entry after which a learner counts as away."""
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
_REMEMBERED = 1000


class RefusedError(Exception):
    """A request is refused: the status of HTTP, a sentence, and the seconds after which to try again."""

    def __init__(self, status: int, sentence: str, wait: int = 0) -> None:
        super().__init__(sentence)
        self.status, self.wait = status, wait


class Allowance:
    """So many requests at once of each who asks, and then so many per second."""

    def __init__(self, at_once: int, rate: float, clock: Callable[[], float]) -> None:
        self._ahead, self._every, self._clock = (at_once - 1) / rate, 1 / rate, clock
        # When the requests so far would be over, at the rate alone.
        self._due: dict[str, float] = {}

    def take(self, who: str) -> None:
        """Count one request; RefusedError if there were too many."""
        now = self._clock()
        due = max(self._due.pop(who, now), now)
        wait = due - now - self._ahead
        self._due[who] = due if wait > 0 else due + self._every
        if len(self._due) > _REMEMBERED:
            del self._due[next(iter(self._due))]  # who asked longest ago
        if wait > 0:
            raise RefusedError(429, "Too many requests: wait a little.", ceil(wait))


@dataclass(slots=True)
class Seat:
    """One learner: when the last entry came, that entry, and seconds by lesson number."""

    seen: float
    entry: Entry
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class LiveRoom:
    """The learners of a room. `token` lets a learner in, `view` opens the page: both are secrets.

    Minutes count while `running`: the facilitator starts the clock, and stops it for breaks. What is refused
    raises RefusedError.
    """

    def __init__(self, plan: Route, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._clock = plan, clock
        self.token = "".join(secrets.choice(_LETTERS) for _ in range(12))
        self.view = secrets.token_urlsafe(16)
        self._nothing = Entry(HandIn(""), {}, plan.lessons[0].number)
        self._seats: dict[str, Seat] = {}
        self._known, self.strangers = Allowance(10, 1.0, clock), Allowance(60, 2.0, clock)
        self._ran, self._since = 0.0, inf

    def join(self, token: str, address: str) -> str:
        """Let a learner in, and return the key under which their entries come."""
        self.strangers.take(address)
        if not _same(token, self.token):
            raise RefusedError(403, "This room has another token: copy the line again.")
        key = secrets.token_urlsafe(16)
        self.admit(key)
        return key

    def admit(self, key: str) -> None:
        """Give a learner a seat under this key, unless they have one."""
        if key in self._seats:
            return
        if len(self._seats) >= MOST:  # who has sent nothing makes room
            silent = [it for it, one in self._seats.items() if one.entry is self._nothing]
            for one in filter(lambda it: self.is_away(self._seats[it]), silent):
                del self._seats[one]
        if len(self._seats) >= MOST:
            raise RefusedError(409, f"The room is full: {MOST} learners.")
        self._seats[key] = Seat(self._clock(), self._nothing)

    def update(self, key: str, raw: bytes, address: str) -> None:
        """Replace a learner's entry, and count the time since the last one for the lesson they were at."""
        if (seat := self._seats.get(key)) is None:
            self.strangers.take(address)
            raise RefusedError(401, "Nobody in this room has this key: join again.")
        self._known.take(key)
        try:
            entry = read_entry(raw)
        except RefusedEntryError as error:
            raise RefusedError(400, str(error)) from error
        now = self._clock()
        since = now - max(seat.seen, self._since)
        seat.spent[seat.entry.at] += min(max(since, 0.0), AWAY)
        seat.seen, seat.entry = now, entry

    def may_view(self, key: str, address: str) -> None:
        """Accept the key of the page."""
        if not _same(key, self.view):
            self.strangers.take(address)
            raise RefusedError(403, "This is the facilitator's page: open its whole address.")

    @property
    def people(self) -> list[tuple[Learner, Seat]]:
        """Everybody, in the order in which they joined."""
        seats = [*self._seats.values()]
        return [*zip(labeled((it.entry.results for it in seats), []), seats, strict=True)]

    def is_away(self, seat: Seat) -> bool:
        """Return whether a learner has been silent for a while."""
        return self._clock() - seat.seen > AWAY

    @property
    def running(self) -> bool:
        """Whether the clock runs."""
        return self._since != inf

    @property
    def seconds(self) -> float:
        """Seconds that the clock has run, breaks left out."""
        return self._ran + max(self._clock() - self._since, 0.0)

    def toggle_clock(self) -> None:
        """Start the clock, or stop it for a break."""
        self._ran, self._since = self.seconds, inf if self.running else self._clock()

    @property
    def planned(self) -> Lesson | None:
        """The lesson at which the room should be by now; None when the plan is over."""
        ends = 0
        for one in self.plan.lessons:
            ends += one.minutes
            if self.seconds < ends * 60:
                return one
        return None

    def minutes_at(self, lesson: Lesson) -> float | None:
        """Return the median minutes at a lesson so far, of those who were there for half a minute, or None."""
        spent = [it for one in self._seats.values() if (it := one.spent[lesson.number]) >= 30]
        return median(spent) / 60 if spent else None


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
