"""A timeline in real time: beside a probe, under uvloop, in a notebook while the loop is stuck."""

import asyncio
import time

import pytest

from loopclinic import Probe, Timeline
from loopclinic.timeline import timeline as module


class Shown:
    """A drawing in a notebook that keeps what it is given."""

    shown = True

    def __init__(self, first):
        self.drawings = [first]

    def show(self, drawing):
        self.drawings.append(drawing)


def freeze(seconds):
    time.sleep(seconds)


async def waits():
    await asyncio.sleep(0.05)


@pytest.mark.alone
async def test_it_draws_itself_while_the_loop_is_stuck(monkeypatch):
    monkeypatch.setattr(module, "LiveDrawing", Shown)
    with Timeline() as timeline:
        task = asyncio.create_task(waits(), name="waits")
        await asyncio.sleep(0)
        before = len(timeline._picture.drawings)
        freeze(1)
        meanwhile = timeline._picture.drawings[before:]
        await task
    assert 3 <= len(meanwhile) <= 7
    assert "stuck for" in meanwhile[-1].html
    assert "waits: ready for" in meanwhile[-1].html  # its timer is due, and the loop does not know
    assert timeline._picture.drawings[-1] == timeline.drawing()
    assert "stall of" in timeline.drawing().html


@pytest.mark.alone
async def test_a_probe_beside_it_names_the_same_line_and_who_waits():
    with Probe() as probe:
        with Timeline(probe=probe) as timeline:
            tasks = [asyncio.create_task(waits()) for _ in range(3)]
            await asyncio.sleep(0)
            freeze(0.3)
            await asyncio.wait(tasks)
        assert probe.running
    stall, drawn = probe.stalls[0], timeline.trace().stalls[0]
    assert (stall.function, stall.conflict) == ("freeze", "blocking-sleep")
    assert (drawn.where, drawn.code) == (stall.where, "time.sleep(seconds)")
    assert stall.lines[0].seconds == pytest.approx(0.3, abs=0.05)
    assert stall.waiting.groups[0].name == "waits"
    lane = next(one for one in timeline.trace().lanes if one.name == "waits 1")
    assert lane.seconds("ready") == pytest.approx(0.25, abs=0.05)


@pytest.mark.alone(wakes=True)
def test_a_call_that_keeps_the_gil_is_named_by_the_probe():
    async def main():
        with Probe(threshold=0.03) as probe, Timeline(probe=probe):
            await asyncio.create_task(holds())
            await asyncio.sleep(0.05)
        return probe.stalls

    async def holds():
        await asyncio.sleep(0.01)
        return sum(range(20_000_000))  # loopclinic: ignore[cpu-bound] held on purpose

    stall = asyncio.run(main())[0]
    assert "sum(range(" in stall.code
    assert stall.task is not None


def test_uvloop_is_recorded():
    uvloop = pytest.importorskip("uvloop")

    async def main():
        with Timeline() as timeline:
            tasks = [asyncio.create_task(waits(), name=name) for name in ("one", "two")]
            await asyncio.sleep(0)
            freeze(0.2)
            await asyncio.wait(tasks)
        return timeline.trace()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        trace = runner.run(main())
    one = next(lane for lane in trace.lanes if lane.name == "one")
    assert [span.waits_for for span in one.spans if span.waits_for] == ["sleep"]
    assert one.seconds("ready") > 0.1
