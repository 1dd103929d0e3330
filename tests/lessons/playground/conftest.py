"""Fixtures: the playground's processes under load, shared by a module's tests."""

import time
from dataclasses import dataclass

import pytest

from loopclinic.lessons.playground.live_figures import RecentCalls
from loopclinic.lessons.playground.processes import Processes
from loopclinic.lessons.playground.settings import Settings


@dataclass
class Shown:
    """What a processes showed while it was watched."""

    moment: object
    first: dict
    last: dict
    ticks: list

    @property
    def stalls(self):
        return [stall for tick in self.ticks for stall in tick["ended"]]

    def of(self, name, figure):
        return self.last[name][figure] - self.first[name][figure]

    @property
    def seconds(self):
        return self.last["at"] - self.first["at"]


class Watched:
    """A processes, turned and read by tests."""

    def __init__(self, processes):
        self.processes = processes
        self._turned = 0

    def turn(self, settings, seconds=20):
        """Turn it, and wait until the service has followed."""
        before = self.look(0.2).last["turned"]
        self.processes.turn(settings)
        end = time.monotonic() + seconds
        while self.look(0.2).last["turned"] == before:
            assert time.monotonic() < end, "the settings did not come into force"
        self.look(0.5)  # who came before is served by the settings of then

    def look(self, seconds):
        window, first, last, ticks = RecentCalls(1e6), None, None, []
        end = time.monotonic() + seconds
        while time.monotonic() < end or last is None:
            news = self.processes.poll()
            if news.stream is not None:
                window.add(news.stream)
            if news.tick is not None:
                ticks.append(news.tick)
                first, last = first or news.service, news.service
            time.sleep(0.05)
        return Shown(window.figures(), first, last, ticks)

    def until(self, condition, seconds=20):
        """Look until something was shown; return what."""
        end = time.monotonic() + seconds
        while not (found := condition(self.look(0.3))):
            assert time.monotonic() < end, "it did not happen"
        return found


@pytest.fixture(scope="module")
def watched():
    with Processes(Settings(rate=30)) as processes:
        one = Watched(processes)
        one.until(lambda seen: seen.moment and seen.moment.count)
        yield one
