"""A limit on concurrent calls, first come first served, that can be resized while in use."""

import asyncio
from collections import deque
from collections.abc import Callable


class ResizableLimit:
    """`async with places:` holds one; who finds none waits in order.

    Counts as it goes, on the loop's own thread: how many came, how many of them had to wait, and
    the seconds that places were held (`held_seconds`, all together, at most `size` at a time).
    """

    def __init__(self, size: int | None, clock: Callable[[], float]) -> None:
        self.size = size
        self.counted = size
        """How many of those held count as busy: fewer than `size` where something narrower follows."""
        self.held = 0
        self.came = self.waited = 0
        self.held_seconds = self.busy_seconds = 0.0
        self._clock = clock
        self._line: deque[asyncio.Future[None]] = deque()
        self._since = clock()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)  # asked from another thread, too

    def resize(self, size: int | None, counted: int | None = None) -> None:
        """Set the number of places; those held beyond it are given back in their own time."""
        self._book()
        self.size = size
        self.counted = counted or size
        self._admit()

    def figures(self) -> dict[str, float]:
        """Return running totals as JSON values; subtract two."""
        self._book()
        return {
            "held": self.held,
            "waiting": self.waiting,
            "came": self.came,
            "waited": self.waited,
            "held_seconds": self.held_seconds,
            "busy_seconds": self.busy_seconds,
        }

    async def __aenter__(self) -> None:
        self.came += 1
        if not self._line and self._free():
            self._take()
            return
        self.waited += 1
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_back()  # it was given the place in the same breath
            elif place in self._line:
                self._line.remove(place)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _free(self) -> bool:
        return self.size is None or self.held < self.size

    def _take(self) -> None:
        self._book()
        self.held += 1

    def _give_back(self) -> None:
        self._book()
        self.held -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self._free():
            place = self._line.popleft()
            if not place.done():
                self._take()
                place.set_result(None)

    def _book(self) -> None:
        now = self._clock()
        passed, self._since = now - self._since, now
        self.held_seconds += passed * self.held
        most = self.held if self.counted is None else min(self.held, self.counted)
        self.busy_seconds += passed * most
