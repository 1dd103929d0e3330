"""The faulty upstream: each fault, its counts, and its end."""

import asyncio

import aiohttp
import pytest

from loopclinic.servers import (
    SERVICES,
    FaultyUpstream,
    Upstream,
    digest_of,
    is_flaky,
    transcript_of,
)
from loopclinic.servers.upstream import slowdown


@pytest.fixture(scope="module")
def running():
    with FaultyUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream):
    running.reset_now()
    return running


async def post(upstream: Upstream, *bodies: bytes, path: str = "/v1/transcribe"):
    """Post all bodies at once; return (status, JSON, headers) or the exception of each."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(body: bytes):
            async with session.post(upstream.url + path, data=body) as answer:
                return answer.status, await answer.json(), answer.headers

        return await asyncio.gather(*map(one, bodies), return_exceptions=True)


def bodies(n: int) -> list[bytes]:
    return [b"take %d" % i for i in range(n)]


async def test_the_peak_in_flight_is_what_was_sent(upstream):
    await upstream.set(latency=0.5)
    answers = await post(upstream, *bodies(50))
    counts = await upstream.counts()
    assert [status for status, *_ in answers] == [200] * 50
    assert counts.requests == counts.peak_in_flight == 50
    assert counts.by_status == {200: 50}
    assert counts.in_flight == 0


async def test_answers_can_be_checked(upstream):
    ((_, said, _),) = await post(upstream, b"hello")
    assert said["text"] == transcript_of(b"hello")
    assert said["digest"] == digest_of(b"hello")
    assert said["bytes"] == 5
    assert transcript_of(b"hello") != transcript_of(b"hullo")
    async with aiohttp.ClientSession() as session:
        for method in ("GET", "PUT", "DELETE"):
            async with session.request(method, f"{upstream.url}/any/where") as answer:
                assert answer.status == 200
    assert upstream.counts_now().requests == 4


async def test_the_first_attempts_of_flaky_bodies_fail_and_no_others(upstream):
    await upstream.set(fail_first=2, fail_share=0.5)
    sent = bodies(40)
    rounds = [[status for status, *_ in await post(upstream, *sent)] for _ in range(3)]
    expected = [503 if is_flaky(body, 0.5) else 200 for body in sent]
    assert rounds == [expected, expected, [200] * 40]
    assert 5 < expected.count(503) < 35
    counts = await upstream.counts()
    assert all(len(counts.arrivals_of(body)) == 3 for body in sent)
    times = counts.arrivals_of(sent[0])
    assert list(times) == sorted(times)


async def test_beyond_capacity_it_says_when_to_come_back(upstream):
    await upstream.set(capacity=10, latency=0.5, retry_after=2.5)
    answers = await post(upstream, *bodies(30))
    refused = [headers for status, _, headers in answers if status == 429]
    assert len(refused) == 20
    assert {headers["Retry-After"] for headers in refused} == {"2.5"}


async def test_a_queue_is_served_in_order_before_anybody_is_refused(upstream):
    await upstream.set(capacity=5, queue=10, latency=0.2)
    answers = await post(upstream, *bodies(20))
    assert [status for status, *_ in answers].count(429) == 5
    counts = await upstream.counts()
    # Five at a time: three rounds of 0.2 s, so 3 + 2 + 1 rounds of five requests in flight.
    assert counts.seconds_in_flight >= 0.9 * 6 * 5 * 0.2
    ticks = sorted(counts.timeline[200])
    assert ticks[-1] - ticks[0] >= 0.9 * 40
    assert sum(counts.timeline[200].values()) == 15
    assert sum(counts.timeline[429].values()) == 5


async def test_a_place_in_the_queue_is_given_back_by_who_leaves(upstream):
    await upstream.set(capacity=1, queue=5, latency=0.2)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
        first = asyncio.create_task(session.post(upstream.url, data=b"first"))
        await asyncio.sleep(0.1)
        leaver = asyncio.create_task(session.post(upstream.url, data=b"leaves"))
        await asyncio.sleep(0.05)
        leaver.cancel()
        await first
        ((status, *_),) = await post(upstream, b"afterwards")
    assert status == 200


async def test_who_does_not_hear_a_429_is_reset(upstream):
    await upstream.set(capacity=0, overload=10)
    answers = await post(upstream, *bodies(30))
    reset = [one for one in answers if isinstance(one, aiohttp.ClientConnectionError)]
    counts = await upstream.counts()
    assert len(reset) == counts.resets == sum(counts.timeline[0].values()) == 20
    assert counts.by_status == {429: 10}


async def test_some_bodies_take_longer(upstream):
    await upstream.set(latency=0.1, slow=0.4, slow_for="video")
    await post(upstream, b"a video", b"a note")
    counts = await upstream.counts()
    assert max(counts.timeline[200]) - min(counts.timeline[200]) >= 30
    assert counts.seconds_in_flight >= 0.6


async def test_requests_that_are_at_work_together_slow_each_other_down(upstream):
    await upstream.set(latency=0.3, fastest_at=4)
    await post(upstream, *bodies(8))
    counts = await upstream.counts()
    alone = 0.3 * 8
    assert counts.peak_in_flight == 8
    assert counts.seconds_in_flight >= 0.3 * sum(slowdown(at_work, 4) for at_work in range(1, 9))
    assert counts.seconds_in_flight > 2 * alone


async def test_refused_connections_are_reset_and_counted_apart(upstream):
    await upstream.set(refuse=1)
    answers = await post(upstream, *bodies(3))
    assert all(isinstance(answer, aiohttp.ClientConnectionError) for answer in answers)
    counts = await upstream.counts()
    assert counts.resets >= 3  # a client may try a reset connection again by itself
    assert counts.disconnects == 0
    assert counts.by_status == {}


async def test_hanging_requests_are_in_flight_until_the_client_leaves(upstream):
    await upstream.set(hang=1)
    posting = asyncio.create_task(post(upstream, *bodies(5)))
    while (await upstream.counts()).in_flight < 5:
        await asyncio.sleep(0.01)
    assert not posting.done()
    posting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await posting
    while (await upstream.counts()).in_flight:
        await asyncio.sleep(0.01)
    assert (await upstream.counts()).disconnects == 5


async def test_what_hangs_in_its_body_sends_its_headers(upstream):
    await upstream.set(hang=1, hang_in_body_for="clip")
    async with (
        aiohttp.ClientSession(upstream.url) as session,
        session.post("/v1/posts", data=b"clip") as answer,
    ):
        assert answer.status == 200
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answer.read()
    while (await upstream.counts()).in_flight:
        await asyncio.sleep(0.01)
    assert (await upstream.counts()).disconnects == 1


async def test_what_is_sent_elsewhere_is_not_found(upstream):
    await upstream.set(only="POST /v1/posts")
    async with aiohttp.ClientSession(upstream.url) as session:
        for method, path, status in (
            ("POST", "/v1/posts", 200),
            ("PUT", "/v1/posts", 404),
            ("POST", "/v1/post", 404),
        ):
            async with session.request(method, path, data=b"post") as answer:
                assert answer.status == status


async def test_a_body_is_refused_again_and_again_without_a_pause(upstream):
    await upstream.set(busy_first=2, busy_for="hurried")
    for status in (429, 429, 200):
        (answer,) = await post(upstream, b"a hurried post")
        assert answer[0] == status
    assert (await post(upstream, b"a post"))[0][0] == 200


async def test_chance_is_seeded_and_status_can_be_forced(upstream):
    runs = []
    for _ in range(2):
        await upstream.set(error_rate=0.5, seed=7)
        runs.append([(await post(upstream, body))[0][0] for body in bodies(20)])
    assert runs[0] == runs[1]
    assert {200, 503} == set(runs[0])
    await upstream.reset()
    await upstream.set(status=418, status_for="tea")
    answers = await post(upstream, b"a cup of tea", b"coffee")
    assert [status for status, *_ in answers] == [418, 200]


@pytest.mark.parametrize(
    ("dials", "words"),
    [
        ({"latencey": 1}, "no dial named 'latencey'"),
        ({"hang": 2}, "between 0 and 1"),
        ({"fastest_at": 0}, "1 or more"),
    ],
)
async def test_a_wrong_dial_is_refused_by_name(upstream, dials, words):
    with pytest.raises(ValueError, match=words):
        await upstream.set(**dials)
    with pytest.raises(ValueError, match=words):
        FaultyUpstream(**dials)


def test_the_service_gives_an_address_another_process_may_use():
    with SERVICES["faulty_upstream"]() as url:
        assert Upstream(url).counts_now().requests == 0
    with pytest.raises(OSError, match="refused"):
        Upstream(url).counts_now()
