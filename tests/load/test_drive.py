"""`loopclinic.drive`: load on the running loop."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import psutil
import pytest
from aiohttp import web

from loopclinic.import_path import LoadError
from loopclinic.load.own_loop import drive
from loopclinic.load.request_schedule import Load
from loopclinic.load.variant import Variant
from loopclinic.load.vitals import Vitals
from loopclinic.servers import FaultyUpstream
from tests.threads import threads_left, threads_now

EVEN = Load(rate=50, seconds=1.0, arrivals="uniform")


async def test_a_calm_variant_answers_everything_at_its_own_pace():
    async def calm(request):
        await asyncio.sleep(0.05)
        return {"number": request.number}

    vitals = await drive(calm, EVEN)
    assert vitals.sent == vitals.answered == len(vitals.latency.samples) == 50
    assert not vitals.errors
    assert vitals.latency.samples[0] >= 0.05
    assert vitals.latency.p50 < 0.2
    assert 15 < vitals.throughput < 51
    assert len(vitals.lag_series) >= 10


async def test_latency_counts_from_the_due_time_while_the_server_is_frozen():
    """A client that waits its turn would send one request in this half second, and see one slow."""

    async def freezes_once(request):
        if request.number == 10:
            time.sleep(0.5)

    vitals = await drive(freezes_once, EVEN)
    slow = [seconds for seconds in vitals.latency.samples if seconds > 0.1]
    # 20 ms apart: 25 requests fell due while it was frozen, 20 of them over 0.1 s before its end.
    assert len(slow) >= 15
    assert max(slow) >= 0.48
    assert vitals.peak_in_flight >= 15
    (stall,) = [stall for stall in vitals.stalls if stall.seconds > 0.4]
    assert stall.code == "time.sleep(0.5)"
    assert stall.function == "freezes_once"
    assert max(lag for _, lag in vitals.lag_series) > 0.25


async def test_groups_show_the_innocent_victims():
    async def blocking_retry(request):
        if request.payload["group"] == "retries":
            time.sleep(0.3)

    payloads = [{"group": "retries"}, *[{"group": "healthy"}] * 9]
    load = Load(rate=20, seconds=1.5, payloads=payloads, arrivals="uniform")
    vitals = await drive(blocking_retry, load)
    assert set(vitals.groups) == {"healthy", "retries"}
    assert len(vitals.groups["healthy"].samples) == 27
    assert vitals.groups["healthy"].max > 0.15


async def test_the_upstream_sees_as_many_at_once_as_the_batch_sends():
    import aiohttp

    async with FaultyUpstream(latency=0.5) as upstream:

        @asynccontextmanager
        async def session():
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as opened:
                yield opened

        async def fetch(request):
            async with request.state.post(upstream.url, data=f"{request.number}") as answer:
                return await answer.json()

        vitals = await drive(Variant(fetch, setup=session), Load(jobs=40))
        counts = await upstream.counts()
    assert vitals.answered == counts.requests == 40
    assert counts.peak_in_flight == vitals.peak_in_flight == 40
    assert 0.5 <= vitals.makespan < 2
    assert vitals.tasks >= 40


async def test_failures_are_counted_by_exception_with_the_place_of_the_first():
    async def sometimes(request):
        if request.number % 5 == 0:
            raise LookupError("no such take")

    vitals = await drive(sometimes, EVEN)
    assert vitals.errors == {"LookupError": 10}
    assert vitals.answered == len(vitals.latency.samples) == 40
    assert vitals.first_errors["LookupError"].startswith("LookupError: no such take (test_drive")
    assert "10 of 50 requests failed" in vitals.warnings[-1]


async def test_a_request_given_up_counts_with_its_timeout_and_is_cancelled():
    begun = cancelled = 0

    async def never(request):
        nonlocal begun, cancelled
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    vitals = await drive(never, Load(rate=20, seconds=0.5, arrivals="uniform", timeout=0.3))
    assert vitals.errors == {"timeout": 10}
    assert all(0.29 < seconds < 1 for seconds in vitals.latency.samples)
    assert cancelled == begun > 0  # on a starved machine some never get to the server


async def test_threads_are_those_that_the_variant_made():
    async def hops(request):
        await asyncio.to_thread(time.sleep, 0.2)

    vitals = await drive(hops, Load(jobs=4))
    assert 2 <= vitals.threads <= 4


async def test_an_aiohttp_application_is_served_as_it_is():
    async def hello(request):
        if request.method == "POST":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for part in (b"one", b"two"):
                await response.write(part)
            return response
        return web.Response(status=404 if request.path == "/missing" else 204)

    def application():
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", hello)
        return app

    for load in (EVEN, Load(rate=50, seconds=1, method="GET", path="/here")):
        vitals = await drive(application(), load)
        assert vitals.answered == vitals.sent
    missing = Load(rate=20, seconds=0.5, arrivals="uniform", method="GET", path="/missing")
    assert (await drive(application, missing)).errors == {"HTTP 404": 10}


async def test_vitals_survive_json():
    async def late(request):
        if request.number == 3:
            time.sleep(0.2)

    vitals = await drive(late, Load(rate=30, seconds=0.5, payloads=[{"group": "g"}]))
    again = Vitals.from_dict(json.loads(json.dumps(vitals.to_dict())))
    assert again == vitals
    assert again.stalls[0].where == vitals.stalls[0].where
    assert "worst stall" in str(again)


async def test_nothing_is_left_behind_also_when_it_is_cancelled():
    entered = left = 0

    @asynccontextmanager
    async def setup():
        nonlocal entered, left
        entered += 1
        try:
            yield
        finally:
            left += 1

    async def slow(request):
        await asyncio.sleep(0.05)

    variant = Variant(slow, setup=setup)
    children = set(psutil.Process().children(recursive=True))
    threads, tasks = threads_now(), len(asyncio.all_tasks())
    await drive(variant, Load(rate=50, seconds=0.2))
    driving = asyncio.create_task(drive(variant, Load(rate=50, seconds=30)))
    while entered < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    assert (entered, left) == (2, 2)
    assert set(psutil.Process().children(recursive=True)) <= children
    assert threads_left(threads) == []
    assert len(asyncio.all_tasks()) == tasks


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (3, "is no target"),
        ("nowhere.py:handler", "there is no file"),
        ("handler", "'FILE.py:name'"),
        (lambda a, b, c, d: None, "takes no request"),
    ],
)
def test_what_is_no_target_is_refused_with_the_repair(target, words):
    with pytest.raises(LoadError, match=words):
        Variant(target)


async def test_a_file_is_run_from_its_path(tmp_path):
    (tmp_path / "neighbor.py").write_text("ANSWER = 'from next door'")
    file = tmp_path / "lab.py"
    file.write_text("from neighbor import ANSWER\nasync def handler(request): return ANSWER\n")
    vitals = await drive(f"{file}:handler", Load(rate=20, seconds=0.5, arrivals="uniform"))
    assert vitals.answered == 10
    with pytest.raises(LoadError, match="defines no 'nobody'"):
        await drive(f"{file}:nobody", Load(jobs=1))


async def test_a_setup_that_is_no_context_manager_is_refused():
    async def handler(request):
        return None

    with pytest.raises(LoadError, match="asynccontextmanager"):
        await drive(Variant(handler, setup=lambda: 5), Load(jobs=1))
