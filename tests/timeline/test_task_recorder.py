"""What a timeline records, in virtual time: states, waits, ends, limits."""

import asyncio
import functools
import sys
import threading

import pytest

from loopclinic import Timeline
from loopclinic.lessons.schedules.virtual_time import VirtualLoop
from loopclinic.probe import garbage
from loopclinic.probe.census import waiting_on


def played(main, **options):
    """Return the trace of a coroutine function that is given its loop."""

    async def recorded():
        with Timeline(**options) as timeline:
            await main(asyncio.get_running_loop())
        return timeline.trace()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(recorded())


def lane(trace, name):
    return next(one for one in trace.lanes if one.name == name)


def states(one):
    """The stretches of a lane that last: state, from, to, in hundredths of a second."""
    return [
        (span.state, round(span.started * 100), round(span.ended * 100))
        for span in one.spans
        if span.length > 0
    ]


async def worker(loop, blocks=0.0):
    await asyncio.sleep(0.05)
    if blocks:
        loop.sleep(blocks)
    await asyncio.sleep(0.05)


async def test_nothing_is_recorded_before_the_start():
    with pytest.raises(RuntimeError, match="never started"):
        Timeline().trace()
    timeline = Timeline()
    with timeline, pytest.raises(RuntimeError, match="started before"):
        timeline.start()


def test_a_timeline_needs_a_loop():
    with pytest.raises(RuntimeError, match="No event loop is running here"):
        Timeline().start()


def test_a_task_that_blocks_makes_the_others_wait_from_the_moment_they_were_due():
    async def main(loop):
        tasks = [
            asyncio.create_task(worker(loop, blocks), name=name)
            for name, blocks in (("before", 0), ("blocks", 0.2), ("after", 0))
        ]
        await asyncio.wait(tasks)

    trace = played(main)
    assert states(lane(trace, "blocks")) == [
        ("suspended", 0, 5),
        ("running", 5, 25),
        ("suspended", 25, 30),
    ]
    # Its second timer is due during the stall: the loop hears of it only afterwards.
    assert states(lane(trace, "before")) == [
        ("suspended", 0, 5),
        ("suspended", 5, 10),
        ("ready", 10, 25),
    ]
    assert states(lane(trace, "after")) == [
        ("suspended", 0, 5),
        ("ready", 5, 25),
        ("suspended", 25, 30),
    ]
    assert [(round(one.started, 3), round(one.ended, 3)) for one in trace.stalls] == [(0.05, 0.25)]
    assert trace.stalls[0].where.startswith("blocks, up to test_task_recorder.py:")


def test_a_lane_says_where_it_waits_in_the_users_own_code():
    async def main(loop):
        await asyncio.create_task(worker(loop), name="one")

    found = [span for span in lane(played(main), "one").spans if span.state == "suspended"]
    assert [span.code for span in found] == ["await asyncio.sleep(0.05)"] * 2
    assert found[0].where != found[1].where
    assert found[0].where.startswith("test_task_recorder.py:")


RELEASED = threading.Event()


async def wait_lock():
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def wait_semaphore():
    await asyncio.Semaphore(0).acquire()


async def wait_queue():
    await asyncio.Queue().get()


async def wait_event():
    await asyncio.Event().wait()


async def wait_condition():
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()


async def wait_task():
    await asyncio.create_task(wait_event(), name="other")


async def wait_several():
    await asyncio.gather(wait_event(), wait_event())


async def wait_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(wait_event())


async def wait_group_of_none():
    async with asyncio.TaskGroup():
        pass


async def wait_thread():
    await asyncio.to_thread(RELEASED.wait)


async def wait_executor():
    await asyncio.get_running_loop().run_in_executor(None, RELEASED.wait)


async def wait_future():
    await asyncio.get_running_loop().create_future()


async def wait_generator():
    async def items():
        await asyncio.sleep(1)
        yield 1

    async for _ in items():
        pass


async def wait_stream():
    await asyncio.StreamReader().read()


@pytest.mark.parametrize(
    ("coroutine", "waits_for"),
    [
        (wait_lock, "lock"),
        (wait_semaphore, "semaphore"),
        (wait_queue, "queue"),
        (wait_event, "event"),
        (wait_condition, "condition"),
        (wait_task, "task other"),
        (wait_several, "several tasks"),
        (wait_group, "its task group"),
        (wait_thread, "thread"),
        (wait_executor, "thread"),
        (wait_future, "future"),
        (wait_generator, "sleep"),
        (wait_stream, "I/O"),
    ],
)
def test_a_lane_says_what_it_waits_for(coroutine, waits_for):
    async def main(_):
        task = asyncio.create_task(coroutine(), name="waits")
        await asyncio.sleep(0.02)
        task.cancel()
        RELEASED.set()
        await asyncio.wait([task])

    RELEASED.clear()
    found = [span.waits_for for span in lane(played(main), "waits").spans if span.waits_for]
    assert found[0] == waits_for


def test_a_lane_says_how_its_task_ended():
    told = []

    async def fails():
        await asyncio.sleep(0.01)
        raise ValueError("no such item")

    async def main(loop):
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        asyncio.create_task(worker(loop), name="done")  # noqa: RUF006 - forgotten on purpose
        asyncio.create_task(fails(), name="failed")  # noqa: RUF006
        cancelled = asyncio.create_task(worker(loop), name="cancelled")
        asyncio.create_task(wait_future(), name="lost")  # noqa: RUF006
        asyncio.create_task(asyncio.sleep(9), name="pending")  # noqa: RUF006
        await asyncio.sleep(0.02)
        cancelled.cancel()
        del cancelled
        garbage.collect()
        await asyncio.sleep(0.2)

    trace = played(main)
    ends = {
        one.name: (one.outcome, one.error, one.ended and round(one.ended, 2)) for one in trace.lanes
    }
    assert ends["done"] == ("done", "", 0.1)
    assert ends["failed"] == ("failed", "ValueError: no such item", 0.01)
    assert ends["cancelled"] == ("cancelled", "", 0.02)
    assert ends["lost"] == ("lost", "", 0.02)
    assert ends["pending"] == ("pending", "", None)
    requests = {one.name: [round(at, 2) for at in one.cancel_requests] for one in trace.lanes}
    assert requests["cancelled"] == [0.02]
    assert requests["done"] == []
    garbage.collect()
    # Nobody has asked the task for its error: asyncio says so as it would without a timeline.
    assert sorted(told) == [
        "Task exception was never retrieved",
        "Task was destroyed but it is pending!",
    ]


def test_a_task_that_swallows_a_cancel_shows_it():
    async def stubborn():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)

    async def main(_):
        task = asyncio.create_task(stubborn(), name="stubborn")
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    found = lane(played(main), "stubborn")
    assert (found.outcome, len(found.cancel_requests)) == ("done", 1)
    assert states(found) == [("suspended", 0, 1), ("suspended", 1, 6)]


def test_a_result_of_a_thread_counts_from_when_it_came():
    async def main(loop):
        future = loop.create_future()
        task = asyncio.create_task(asyncio.wait_for(future, None), name="waits")
        await asyncio.sleep(0.01)
        threading.Timer(0, loop.call_soon_threadsafe, (future.set_result, None)).run()
        loop.sleep(0.2)
        await task

    assert ("ready", 1, 21) in states(lane(played(main), "waits"))


def test_lanes_without_a_name_of_their_own_have_their_coroutines():
    async def main(loop):
        await asyncio.gather(worker(loop), worker(loop), asyncio.create_task(wait_group_of_none()))

    assert {"worker 1", "worker 2", "wait_group_of_none"} < {one.name for one in played(main).lanes}


def test_tasks_that_were_there_before_have_lanes():
    async def recorded():
        loop = asyncio.get_running_loop()
        waits = asyncio.create_task(wait_event(), name="waits")
        await asyncio.sleep(0.01)
        soon = asyncio.create_task(worker(loop), name="soon")
        with Timeline() as timeline:
            await asyncio.sleep(0.2)
        waits.cancel()
        del soon
        return timeline.trace()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        trace = runner.run(recorded())
    assert states(lane(trace, "waits")) == [("suspended", 0, 20)]
    assert lane(trace, "waits").spans[0].waits_for == "event"
    assert states(lane(trace, "soon")) == [("suspended", 0, 5), ("suspended", 5, 10)]
    assert lane(trace, "recorded").spans[1].code == "await asyncio.sleep(0.2)"


def test_lanes_and_steps_are_bounded_and_the_trace_says_so():
    async def turns():
        for _ in range(100):
            await asyncio.sleep(0)

    async def main(_):
        for _ in range(5):
            await asyncio.create_task(turns())
        await asyncio.gather(*(turns() for _ in range(20)))

    trace = played(main, lanes=10, steps=200)
    assert len(trace.lanes) == 10
    assert sum(span.state == "running" for one in trace.lanes for span in one.spans) <= 201
    assert trace.notes[:2] == (
        "11 tasks got no lane: 10 is the most.",
        "5 tasks that had ended made room for later ones.",
    )
    assert "were not kept" in trace.notes[2]


def test_the_loop_is_left_as_it_was_found():
    async def main():
        loop = asyncio.get_running_loop()
        before = dict(vars(loop))
        with Timeline():
            await asyncio.sleep(0)
        assert {name for name in vars(loop) if name not in before} == set()
        with Timeline():
            ours = loop.call_soon
            loop.call_soon = functools.partial(ours)
            theirs = loop.call_soon
        assert loop.call_soon is theirs
        await asyncio.sleep(0)
        del loop.call_soon

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_two_timelines_record_one_loop():
    async def main(loop):
        inner = Timeline().start()
        await worker(loop)
        traces.append(inner.stop())

    traces = []
    traces.append(played(main))
    one, other = (next(iter(trace.lanes)) for trace in traces)
    assert states(one) == states(other) == [("suspended", 0, 5), ("suspended", 5, 10)]


def test_a_task_written_in_python_has_a_lane():
    async def main(loop):
        await asyncio.tasks._PyTask(worker(loop), loop=loop, name="python")

    assert states(lane(played(main), "python")) == [("suspended", 0, 5), ("suspended", 5, 10)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_has_its_first_step():
    async def short():
        return 1

    async def turn():
        await asyncio.sleep(0)

    async def main(loop):
        loop.set_task_factory(asyncio.eager_task_factory)
        tasks = [loop.create_task(worker(loop, 0.1), name="long")]
        tasks += [loop.create_task(short(), name="short"), loop.create_task(turn(), name="turn")]
        await asyncio.wait([one for one in tasks if not one.done()])

    trace = played(main)
    assert [span.state for span in lane(trace, "short").spans] == ["running"]
    assert lane(trace, "short").outcome == "done"
    assert [one.state for one in lane(trace, "turn").spans if one.state == "running"] == [
        "running"
    ] * 2
    assert states(lane(trace, "long")) == [
        ("suspended", 0, 5),
        ("running", 5, 15),
        ("suspended", 15, 20),
    ]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")
def test_the_call_graph_of_asyncio_stays_whole():
    async def main(_):
        task = asyncio.create_task(wait_event(), name="waits")
        await asyncio.sleep(0)
        frames = asyncio.capture_call_graph(task).call_stack
        names.extend(one.frame.f_code.co_name for one in frames)
        task.cancel()

    names = []
    played(main)
    assert names == ["wait", "wait_event"]


def test_who_waits_is_known_under_a_timeline():
    async def main(loop):
        tasks = [asyncio.create_task(worker(loop)) for _ in range(3)]
        await asyncio.sleep(0)
        found.append(waiting_on(loop, loop.time() + 1))
        await asyncio.wait(tasks)

    found = []
    played(main)
    assert (found[0].ready, found[0].suspended) == (3, 0)
    assert found[0].groups[0].name == "worker"
