"""Lesson 10: its service notes what it bears, its breaker counts, its outages end or do not, its figures decide."""

import asyncio
import sys
import types
from functools import partial
from math import inf

import pytest

from loopclinic.lessons.core import Ending, Judged, Kept, Place
from loopclinic.lessons.failing_upstreams import check, ladder, price_service, story
from loopclinic.lessons.schedules.search import in_virtual_time, search_schedules


def ended(how="returned", seconds=0.1, **more):
    return Ending(how, seconds, Place("lab.py", 7, "await fetch(item)"), **more)


def answer(kind="fresh", seconds=0.1, begun=1, **more):
    return check.Answer(kind, ended(seconds=seconds, **more), begun)


CODE = check.Code(Place("lab.py", 5), Place("lab.py", 7), sync=False)


# The check.


def test_the_service_knows_a_sync_function_that_guards_the_call():
    async def fetched(call):
        service = price_service.Service()
        value = await call(service.fetch, "3")
        assert (value, service.begun, service.peak, service.now) == (3, 1, 1, 0)
        return service.sync

    def guard(fetch, item):
        try:
            return fetch(item)
        except ConnectionError:
            raise

    async def awaits(fetch, item):
        try:
            return await fetch(item)
        except ConnectionError:
            raise

    assert asyncio.run(fetched(guard))
    assert not asyncio.run(fetched(awaits))
    assert not asyncio.run(fetched(lambda fetch, item: fetch(item))), "nothing is guarded"


class Price:
    def __init__(self, value, stale=False):
        self.value, self.stale = value, stale


class UnavailableError(Exception):
    pass


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Price(0), "fresh"),
        (Price(900, stale=True), "stale"),
        (Price(900), "wrong"),
        (Price(0, stale=True), "older"),
        (Price(None, stale=True), "wrong"),
        (None, "wrong"),
        (0, "wrong"),
        (UnavailableError(), "unavailable"),
        (KeyError(), "raised"),
    ],
)
def test_what_counts_as_a_price(given, kind):
    async def get(self, item):
        if isinstance(given, Exception):
            raise given
        return given

    def begin(self, fetch, **options):
        assert set(options) == {"deadline", "limit", "failures", "rest"}

    lab = types.SimpleNamespace(Prices=type("Prices", (), {"__init__": begin, "get": get}))

    async def ask():
        shop = check.Shop(lab)
        shop._known["0"] = 900
        return (await shop.ask(0))[0].kind

    assert asyncio.run(ask()) == kind


def said(scene, found):
    return [*scene.judge(found, Judged())]


def test_retries_are_counted_against_all_calls():
    def well(retries, blips=("fresh", "fresh"), opened=0):
        many = tuple(answer(begun=0 if n < opened else 1) for n in range(300))
        blips = tuple(answer(kind, begun=2) for kind in blips)
        return check.Well.Found((answer(),), 8, blips, many, 400 + retries, 400, CODE)

    assert said(check.Well(), well(43)) == [Kept(1), Kept(2), Kept(3), Kept(5)]
    (*_, storm) = said(check.Well(), well(44))
    assert (storm.promise, storm.conflict, storm.measured) == (
        5,
        "retry-storm",
        "0.11 retries a call",
    )
    (*_, seen) = said(check.Well(), well(10, ("fresh", "stale")))
    assert (seen.promise, seen.budget) == (5, "2 attempts")
    (*_, opened) = said(check.Well(), well(10, opened=3))
    assert (opened.promise, opened.measured) == (3, "3 of 300 refused")


@pytest.mark.parametrize(
    ("began", "expected", "conflict", "step"),
    [
        (20, 1, "half-open-stampede", "refuse all others"),
        (2, 1, None, "nobody retries"),
        (1, 0, None, "Begin another rest"),
        (0, 1, None, "`finally`"),
        (1, 20, None, "one success ends the rest"),
    ],
)
def test_each_way_to_try_too_much_or_too_little(began, expected, conflict, step):
    rest = (answer("stale", 0.0, 0),)
    found = check.Down.Found(4, 8, rest, (("It was tried", began, expected),), (answer(),), CODE)
    kept, reason = said(check.Down(), found)
    assert kept == Kept(3)
    assert (reason.promise, reason.conflict) == (4, conflict)
    assert step in reason.next_step


def test_a_sync_guard_is_named_only_where_the_service_is_not_left_alone():
    def reason(began, sync):
        code = check.Code(CODE.get, CODE.fetch, sync)
        return said(check.Down(), check.Down.Found(began, 8, (answer(),), (), (), code))[0]

    assert reason(12, sync=True).conflict == "sync-circuit-breaker"
    assert reason(12, sync=False).conflict is None
    assert reason(3, sync=True).conflict is None


def test_a_caller_that_was_refused_for_others_swallows_nothing():
    refused = ended("raised", -0.2, message="UnavailableError: 104")
    found = check.Cancelled.Found((ended("cancelled", 0.0), refused), 0, (), 2, None, CODE)
    _, reason = said(check.Cancelled(), found)
    assert (reason.promise, reason.conflict) == (7, None)
    assert "raised UnavailableError: 104" in reason.sentence
    late = check.Cancelled.Found((ended("returned", 0.0, value="None"),), 0, (), 2, None, CODE)
    assert said(check.Cancelled(), late)[1].conflict == "swallowed-cancellation"


def test_who_leaves_the_line_gives_no_place_back():
    found = check.Cancelled.Found((ended("cancelled", 0.0),), 0, (), 3, None, CODE)
    reason, _ = said(check.Cancelled(), found)
    assert (reason.promise, reason.measured, reason.budget) == (2, "3 calls", "2 calls")
    assert reason.next_step.startswith("Give back a place only where it was taken")


# The story.


def test_the_breaker_counts_lets_one_try_and_forgets_callers_that_leave():
    async def play(schedule):
        breaker, tried = ladder.Breaker(failures=2, rest=10), []

        async def call(error=None, seconds=0.0):
            async with breaker:
                tried.append(error)
                await asyncio.sleep(seconds)
                if error:
                    raise error

        async def all_of(*calls):
            return await asyncio.gather(*calls, return_exceptions=True)

        await all_of(call(TimeoutError()), call(KeyError()), call(TimeoutError()))
        assert len(tried) == 3
        assert isinstance((await all_of(call()))[0], ConnectionRefusedError)
        await asyncio.sleep(11)
        await all_of(*(call(TimeoutError(), 1) for _ in range(5)))
        assert len(tried) == 4, "one tries"
        await asyncio.sleep(11)
        probe = asyncio.create_task(call(seconds=1))
        await asyncio.sleep(0.5)
        probe.cancel()
        await all_of(probe, call())
        await all_of(*(call(seconds=1) for _ in range(5)))
        assert len(tried) == 11, "the next caller tried, and then everybody may"

    assert str(search_schedules(play, [0])) == "Seed 0 does not break it."


def test_an_outage_outlives_its_cause_or_not():
    retried, limited, crowding, guarded = found = [
        story.outage(way)
        for way in (ladder.retried, ladder.limited, ladder.crowding, ladder.guarded)
    ]
    assert retried.recovered == inf
    assert limited.recovered > 2 * crowding.recovered > 0
    assert guarded.recovered <= ladder.REST + 1
    assert retried.borne > 2 * limited.borne > 4 * crowding.borne > 8 * guarded.borne
    for one in found:
        assert min(one.shares[: story.SICK_FROM - 1]) > 0.9, "it was well before"
        assert max(one.shares[story.SICK_FROM + 1 : story.SICK_UNTIL]) < 0.1, "and sick"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # of aiobreaker
async def test_what_fallbacks_hide_and_what_libraries_let_through():
    async def any_error(fetch, last):
        try:
            return await fetch()
        except Exception:
            return last

    async def late_is_none(fetch, last):
        try:
            return await fetch()
        except TimeoutError:
            return None

    shown = str(await story.fallbacks(any_error, late_is_none, ladder.marked))
    typo, late, marked = shown.splitlines()
    assert "Our typo 3.0; No such item None; Too late 3.0; Told apart 3 of 4" in typo
    assert "Our typo KeyError('prise'); No such item None; Too late None; Told apart 3 of 4" in late
    assert "Our typo KeyError('prise')" in marked
    assert "Too late Price(value=3.0, stale=True); Told apart 4 of 4" in marked
    shown = str(await story.libraries())
    assert "pybreaker: call(fetch): Down: lets through 10 of 10; After the rest 20 of 20" in shown
    for library, callers in (
        ("aiobreaker: call_async(fetch)", "stays closed"),
        ("purgatory: async with", "opens"),
    ):
        row = f"{library}: Down: lets through 5 of 10; After the rest 20 of 20; 10 callers leave {callers}"
        assert row in shown
    assert "this lesson's: async with: Down: lets through 5 of 10; After the rest 1 of 20" in shown


# On a real gateway, at full length.


@pytest.mark.prove
async def test_pages_that_need_no_price_wait_for_a_connection():
    async def page(session, kind):
        async with session.post(f"/{kind}", data=f"{kind} of tea".encode()) as got:
            return await got.json()

    shop = await story.open_shop(lambda one: page(one, "price"), lambda one: page(one, "stock"))
    before = [waited for came, waited in shop.stock if came < 1]
    assert shop.slowest > 2 * 0.5 > 10 * max(before)
    assert shop.health.startswith("healthy")


@pytest.mark.prove
async def test_each_health_check_says_what_it_can_see():
    other, attach, own, _ = str(await story.health_checks()).splitlines()
    assert other.endswith("Its loop is stuck healthy; Its pool is dry healthy")
    assert own.count("no answer after 1.0 s") == 2
    if sys.platform == "linux":
        assert "stuck for" in attach
        assert "hung_shop.py" in attach
        assert attach.endswith("Its pool is dry waits for events")


@pytest.mark.prove
async def test_three_guards_and_none_of_them_right():
    async def around_sdk(breaker, sdk, fetch):
        return breaker.call(sdk)

    async def around_coroutine(breaker, sdk, fetch):
        return await breaker.call(fetch)

    async def in_threads(breaker, sdk, fetch):
        return await asyncio.to_thread(breaker.call, sdk)

    shown = str(await story.guards(around_sdk, around_coroutine, in_threads)).splitlines()[1:4]
    assert [line.partition(": ")[2].partition(";")[0] for line in shown] == [
        "Failures counted 6 of 6",
        "Failures counted 0 of 6",
        "Failures counted 6 of 6",
    ]
    held, free, threads = shown
    assert "was held 1." in held
    assert "calls took 1." in threads, "one at a time: pybreaker holds its lock during the call"
    assert "ms" in free.rpartition("took")[2]


def test_a_bucket_that_keeps_a_burst_breaks_a_quota_that_places_and_pace_do_not_count_alike():
    ways = ladder.places, ladder.burst, ladder.paced
    refused = [in_virtual_time(partial(story._within_quota, way=way, calls=200))[1] for way in ways]
    assert refused == [150, 49, 0]
    assert "burst: 49 of 200 refused" in str(story.quotas(*ways))
