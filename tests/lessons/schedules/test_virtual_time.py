"""Virtual time: exact figures, threads, the process's clocks, deadlocks, stalls and seeded schedules."""

import asyncio
import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from loopclinic.lessons.core import Call, Calls
from loopclinic.lessons.core.stage import opened
from loopclinic.lessons.schedules.virtual_time import (
    DeadlockError,
    VirtualLoop,
    virtual_clocks,
)

real_sleep = time.sleep


def run(main, **options):
    """Run `main()` in virtual time and return its result and the loop."""
    loop = VirtualLoop(**options)
    with virtual_clocks(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main()), loop


def now():
    return asyncio.get_running_loop().time()


def exactly(seconds):
    return pytest.approx(seconds, abs=1e-9)


def test_timers_fire_in_order_and_at_their_time():
    async def main():
        began, fired = now(), []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            fired.append((seconds, now() - began))

        await asyncio.gather(*(sleeper(seconds) for seconds in (3600, 0.1, 5, 86_400 * 3)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return fired, now() - began

    (fired, whole), _ = run(main)
    assert fired == [(s, exactly(s)) for s in (0.1, 5, 3600, 86_400 * 3)]
    assert whole == exactly(86_400 * 3 + 30)


def test_the_clocks_of_the_process_follow_the_loop():
    def clocks():
        return [
            time.time(),
            time.monotonic(),
            time.perf_counter(),
            time.time_ns() / 1e9,
            time.monotonic_ns() / 1e9,
            time.perf_counter_ns() / 1e9,
            dt.datetime.now(dt.UTC).timestamp(),
            dt.datetime.now().timestamp(),  # noqa: DTZ005
            dt.datetime.utcnow().replace(tzinfo=dt.UTC).timestamp(),  # noqa: DTZ003
        ]

    async def main():
        before, day = clocks(), dt.date.today()  # noqa: DTZ011
        assert now() == time.monotonic()
        await asyncio.sleep(86_400)
        assert dt.date.today() - day == dt.timedelta(days=1)  # noqa: DTZ011
        assert isinstance(earlier, dt.datetime)
        assert isinstance(dt.datetime.now(), type(earlier))  # noqa: DTZ005
        assert issubclass(dt.datetime, dt.date)
        return [after - one for after, one in zip(clocks(), before, strict=True)]

    earlier, kept = dt.datetime.now(), (time.time, time.sleep, dt.datetime)  # noqa: DTZ005
    assert run(main)[0] == pytest.approx([86_400] * 9, abs=1e-5)
    assert (time.time, time.sleep, dt.datetime) == kept


def test_threads_that_sleep_take_virtual_time():
    async def main():
        began = now()
        with ThreadPoolExecutor(4) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 0.5) for _ in range(10)))
        return now() - began

    seconds, loop = run(main)
    assert seconds == exactly(1.5)
    assert loop.stalls == []


def test_a_job_may_wait_for_the_loop():
    async def main():
        began, loop = now(), asyncio.get_running_loop()

        def job():
            return asyncio.run_coroutine_threadsafe(asyncio.sleep(60, "slept"), loop).result()

        return await asyncio.to_thread(job), now() - began

    assert run(main)[0] == ("slept", exactly(60))


def test_the_clock_stands_still_while_a_short_job_is_at_work():
    async def main():
        order, began = [], now()

        async def timer():
            await asyncio.sleep(0.001)
            order.append("timer")

        async def job():
            await asyncio.to_thread(real_sleep, 0.01)
            order.append("job")
            return now() - began

        return (await asyncio.gather(job(), timer()))[0], order

    assert run(main, grace=30)[0] == (0, ["job", "timer"])


def test_the_clock_follows_a_job_that_takes_its_time():
    async def main():
        done = threading.Event()

        async def timer():
            await asyncio.sleep(0.1)
            done.set()

        def job():
            real_sleep(0.001)
            return done.wait(30)

        # The timer is due while the job waits for real.
        return (await asyncio.gather(asyncio.to_thread(job), timer()))[0]

    assert run(main)[0] is True


def test_a_job_that_was_only_just_given_to_a_thread_is_at_work():
    async def main():
        began = now()
        with ThreadPoolExecutor(1) as pool:
            loop, sleeper = asyncio.get_running_loop(), asyncio.create_task(asyncio.sleep(1000))
            for _ in range(300):
                await loop.run_in_executor(pool, int)
        sleeper.cancel()
        return now() - began

    assert run(main, grace=30)[0] == 0


def test_a_thread_that_the_loop_blocks_for_sleeps_in_real_time():
    async def main():
        began = now()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(time.sleep, 0.2).result()
        return now() - began

    # Waits for a processor are left out of it; were the sleep virtual, nothing would end it.
    assert run(main)[0] > 0.1


def test_a_deadlock_names_the_line_of_each_task():
    async def main():
        locks = asyncio.Lock(), asyncio.Lock()

        async def both(first, second):
            async with first:
                await asyncio.sleep(1)
                async with second:  # here
                    pass

        await asyncio.gather(both(*locks), both(*reversed(locks)))

    with pytest.raises(DeadlockError) as raised:
        run(main)
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(n for n, text in enumerate(source, 1) if text.endswith("# here"))
    assert str(raised.value).count(f"{__file__}, line {line}: async with second:") == 2
    assert "await asyncio.gather(both" in str(raised.value)


def test_a_sleep_on_the_loop_is_a_stall_and_delays_the_others():
    async def main():
        began = now()

        async def timer():
            await asyncio.sleep(0.1)
            return now() - began

        async def blocks():
            time.sleep(0.2)
            time.sleep(0.1)

        return (await asyncio.gather(timer(), blocks()))[0]

    late, loop = run(main)
    assert late == exactly(0.3)
    assert [(one.place.code, one.seconds) for one in loop.stalls] == [
        ("time.sleep(0.2)", 0.2),
        ("time.sleep(0.1)", 0.1),
    ]
    with pytest.raises(ValueError, match="negative"):
        loop.sleep(-1)


def test_sleeps_at_one_line_are_one_stall_an_iteration():
    async def main():
        for _ in range(2):
            for _ in range(5):
                time.sleep(0.125)
            await asyncio.sleep(0)

    assert [one.seconds for one in run(main)[1].stalls] == [0.625, 0.625]


@pytest.mark.parametrize("spins", [True, False])
def test_what_keeps_the_loop_moves_the_clock(spins):
    async def main():
        began = now()
        if spins:  # as a busy wait does, which would never end on a clock that stands still
            while time.monotonic() < began + 0.2:
                await asyncio.sleep(0)
        else:
            threading.Event().wait(0.2)
        return now() - began

    assert run(main)[0] > 0.1  # without waits for a processor


class Line:
    """The child's side of a check, without a service."""

    seed, rng, services = 1, Random(1), {}
    folder = antipattern = None

    def step(self, name):
        """Show nothing."""

    def fact(self, name, value):
        """Report nothing."""


@pytest.mark.parametrize(("block", "busy"), [(True, 0.5), (False, 0.0)])
def test_a_stage_measures_in_virtual_time(block, busy):
    async def main():
        async def call():
            if block:
                time.sleep(2)
            await asyncio.sleep(2)

        async with opened(Line(), connections=0) as stage:
            began = stage.clock()
            calls = Calls({1: Call(call)})
            endings, loop = await stage.watched(calls, 60)
            await stage.sleep(3600)
            return endings[0], loop, stage.clock() - began

    (ending, loop, whole), _ = run(main)
    seconds = 4 if block else 2
    assert ending.returned
    assert ending.seconds == exactly(seconds)
    assert whole == exactly(seconds + 3600)
    assert loop.busy == pytest.approx(busy, abs=0.05)
    assert (loop.stall and loop.stall.seconds) == (2 if block else None)
    assert loop.lag == pytest.approx(2 * 2 / (2 * 4) if block else 0, abs=0.01)
    assert loop.place.code == ("time.sleep(2)" if block else "await asyncio.sleep(2)")


def test_a_call_that_takes_no_virtual_time_is_measured(monkeypatch):
    monkeypatch.setattr(VirtualLoop, "waited", lambda _: 0.0)  # of a busy machine it may be all

    async def main():
        async with opened(Line(), connections=0) as stage:
            return await stage.watched(Calls({1: Call(lambda: asyncio.sleep(0))}), 300)

    ((ending,), loop), _ = run(main)
    assert ending.seconds == 0
    assert 0 < loop.busy <= 1


def test_a_stage_names_the_line_of_a_call_that_really_blocks():
    async def main():
        async def call():
            await asyncio.sleep(100)
            threading.Event().wait(0.3)  # here
            await asyncio.sleep(100)

        async with opened(Line(), connections=0) as stage:
            return await stage.watched(Calls({1: Call(call)}), 300)

    ((ending,), loop), _ = run(main)
    assert ending.returned
    assert "# here" in loop.stall.place.code
    assert loop.stall.seconds >= 0.2


def test_a_timer_is_due_though_a_real_connection_is_never_idle():
    async def main():
        async def echo(reader, writer):
            while data := await reader.read(10):
                writer.write(data)
            writer.close()
            await writer.wait_closed()
            ended.set()

        ended = asyncio.Event()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        began, timer = now(), asyncio.create_task(asyncio.sleep(0.2))
        while not timer.done():
            writer.write(b"x")
            await reader.read(10)
        seconds = now() - began
        writer.close()
        await writer.wait_closed()
        await ended.wait()
        server.close()
        await server.wait_closed()
        return seconds

    assert 0.2 <= run(main)[0] < 60


def test_a_clock_that_was_imported_meanwhile_is_the_real_one_afterwards():
    async def main():
        from time import perf_counter

        await asyncio.sleep(1e9)
        return perf_counter

    clock, _ = run(main)
    before = time.perf_counter()
    assert before <= clock() <= time.perf_counter()
