"""Who is called at a pace of their own, on the watchdog's thread, also during a stall."""

import logging
from collections.abc import Callable
from math import inf

__all__ = ["Subscribers", "tell"]

_log = logging.getLogger("loopclinic")


class Subscribers:
    """Callbacks, each with its pace; any thread may add and remove them."""

    def __init__(self) -> None:
        self._paces: dict[object, tuple[Callable[[], object], float]] = {}
        self._called: dict[object, float] = {}

    def __len__(self) -> int:
        return len(self._paces)

    @property
    def pace(self) -> float:
        """Seconds that the most impatient of them waits, infinity where there are none."""
        return min((every for _, every in list(self._paces.values())), default=inf)

    def add(self, callback: Callable[[], object], every: float) -> Callable[[], None]:
        """Have `callback` called every so many seconds; return what ends that."""
        key = object()
        self._paces[key] = callback, every
        return lambda: self._remove(key)

    def call(self, now: float) -> None:
        """Call whoever is due; one that raises is logged and not called again."""
        for key, (callback, every) in list(self._paces.items()):
            if now - self._called.get(key, -inf) >= every:
                self._called[key] = now
                if not tell(callback):
                    self._remove(key)

    def clear(self) -> None:
        """Remove them all."""
        self._paces.clear()
        self._called.clear()

    def _remove(self, key: object) -> None:
        self._paces.pop(key, None)
        self._called.pop(key, None)


def tell(callback: Callable[..., object], *arguments: object) -> bool:
    """Call somebody else's function on a thread that must go on; return whether it did not raise."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("loopclinic: a callback of a probe raised")
        return False
    return True
