"""The service under its load, in processes of their own: what it does, and what it survives."""

import os
import signal
import time

import psutil
import pytest

from loopclinic.lessons.playground.processes import Processes
from loopclinic.lessons.playground.settings import Settings
from loopclinic.servers import ServerError

CALM = Settings(rate=30, service=0.01)


def coded(seen, code):
    """The stalls of that code: a busy machine has others, too."""
    return [stall for stall in seen.stalls if code in (stall["code"] or "")]


@pytest.mark.prove
def test_a_limit_comes_into_force_while_it_runs(watched):
    watched.turn(Settings(rate=60, service=0.1, pool=64))
    free = watched.look(1.5)
    watched.turn(Settings(rate=60, service=0.1, pool=64, limit=2))
    held = watched.look(1.5)
    assert max(tick["tasks"] for tick in free.ticks) > 4
    assert held.last["limit"]["held"] == 2
    assert held.last["limit"]["waiting"] > 2
    assert held.of("limit", "held_seconds") / held.seconds == pytest.approx(2, abs=0.3)
    watched.turn(CALM)
    watched.until(lambda seen: not seen.last["limit"]["waiting"])


@pytest.mark.prove
def test_a_blocked_loop_names_its_line_and_a_thread_cures_it(watched):
    blocking = CALM.but(share=0.1, block=0.12)
    watched.turn(blocking)
    stall = watched.until(lambda seen: coded(seen, "time.sleep(seconds)"))[0]
    assert stall["where"].startswith("blocks.py:")
    assert stall["conflict"] == "blocking-sleep"
    before = watched.look(2.0)
    watched.turn(blocking.but(remedy="thread"))
    after = watched.look(2.0)
    assert before.last["on_loop"] - before.first["on_loop"] > 0.1
    assert after.last["on_loop"] == after.first["on_loop"]


@pytest.mark.prove
@pytest.mark.parametrize("remedy", ["sized", "process", "native"])
def test_each_remedy_keeps_computing_from_the_loop_for_no_more_than_a_slice(watched, remedy):
    watched.turn(CALM.but(rate=10, share=0.5, how="cpu", block=0.02, remedy=remedy, threads=2))
    seen = watched.look(1.5)
    assert seen.last["failed"] == ""
    assert seen.last["on_loop"] == seen.first["on_loop"]
    assert seen.moment.count > 3
    assert not seen.moment.reasons


@pytest.mark.prove
def test_a_call_that_keeps_the_gil_is_told_of_by_its_line(watched):
    watched.turn(CALM.but(rate=20, share=0.1, how="gil", block=0.3))
    stall = watched.until(lambda seen: coded(seen, "return sum(range(rounds))"))[0]
    assert stall["where"].startswith("blocks.py:")
    watched.turn(CALM)


@pytest.mark.prove
def test_retries_are_counted_apart_from_requests(watched):
    watched.turn(CALM.but(service=0.5, timeout=0.1, retries=2, rate=20))
    watched.look(1.0)
    seen = watched.look(2.0)
    assert seen.moment.attempts == pytest.approx(3 * seen.moment.failed, rel=0.3)
    assert seen.moment.answered == 0
    assert max(seen.moment.reasons, key=seen.moment.reasons.__getitem__) == "timeout"
    watched.turn(CALM)
    watched.until(lambda seen: seen.moment.count and not seen.moment.reasons)


@pytest.mark.prove
def test_a_synchronous_query_is_a_stall_of_its_own_kind(watched):
    try:
        watched.turn(CALM.but(share=0.1, how="query", block=0.1), seconds=40)
    except ServerError as error:
        pytest.skip(str(error))
    try:
        stalls = watched.until(lambda seen: coded(seen, "pg_sleep"))
        assert stalls[0]["conflict"] == "blocking-db"
        watched.turn(CALM.but(share=0.1, how="query", block=0.1, remedy="native"))
        seen = watched.look(1.5)
        assert seen.last["on_loop"] == seen.first["on_loop"]
        assert not seen.moment.reasons
    finally:
        watched.turn(CALM)
        watched.processes._database.close()


@pytest.mark.prove
def test_without_postgresql_it_says_so_and_goes_on(watched, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    with pytest.raises(ServerError):
        watched.processes.turn(CALM.but(share=0.1, how="query"))
    assert watched.processes.settings == CALM
    assert watched.until(lambda seen: seen.moment and seen.moment.count)


def left(pids):
    return [pid for pid in pids if psutil.pid_exists(pid)]


def test_closed_it_leaves_no_process():
    with Processes(
        CALM.but(share=0.1, how="cpu", block=0.01, remedy="process", threads=2)
    ) as processes:
        pids = processes.pids
        family = [
            child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)
        ]
        assert len(pids) == 3
    end = time.monotonic() + 5
    while left([*pids, *family]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left([*pids, *family]) == []
    processes.close()


def test_a_service_that_was_killed_is_an_error_that_names_it():
    def poll_on(processes, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            processes.poll()
            time.sleep(0.05)

    with Processes(CALM) as processes:
        os.kill(processes.pids[1], signal.SIGKILL)
        with pytest.raises(ServerError, match="service was killed by signal 9"):
            poll_on(processes)
