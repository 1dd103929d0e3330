"""Sweeps: the knee, the law, the better round, and the slider that shows them point by point."""

import asyncio
from dataclasses import replace

import pytest

from loopclinic.lessons.story.knee_slider import KneeFinder
from loopclinic.lessons.story.sweep import Point, Swept, closed_loop, sweep


async def capped(_, *, limit, most):
    """Serve `most` calls at a time, one in 20 ms; a process of its own imports it."""
    places = asyncio.Semaphore(most)

    async def send():
        async with places:
            await asyncio.sleep(0.02)
        return "late" if limit > 4 * most else ""

    return await closed_loop(send, limit, seconds=0.2, warm_up=0.05)


BOUND = {"unit": "posts/s", "bound": 200, "because": "20 at once / 100 ms"}


def point(limit, throughput, p50, failed=0.0):
    return Point(limit, throughput, p50, p50 * 1.1, {}, failed)


SWEPT = Swept(
    (
        point(1, 10, 0.1),
        point(10, 99, 0.1),
        point(20, 196, 0.1),
        point(40, 199, 0.2),
        point(100, 150, 0.3, 0.8),
    ),
    **BOUND,
)


def test_the_knee_is_the_smallest_limit_that_gives_nearly_all():
    assert SWEPT.knee.limit == 20
    assert SWEPT.little == pytest.approx(19.9)
    assert "The knee is at 20: 196 posts/s are 98% of the bound" in str(SWEPT)


def test_the_knee_is_never_where_requests_are_refused():
    refused = replace(SWEPT, points=(*SWEPT.points[:4], point(60, 400, 0.1, 0.1)))
    assert refused.knee.limit == 20


@pytest.mark.prove
def test_each_limit_is_tried_and_what_fails_is_counted():
    found = sweep(capped, (1, 4, 20), rounds=2, most=4, progress=False, **BOUND)
    assert [one.limit for one in found.points] == [1, 4, 20]
    alone, full, over = found.points
    assert full.throughput > 2 * alone.throughput
    assert over.failed == 1
    assert set(over.errors) == {"late"}
    assert found.knee.limit == 4


def test_the_slider_shows_the_limits_that_were_visited():
    finder = KneeFinder(SWEPT)
    assert finder.picture.value.count("<circle") == 2 * 2
    finder.slider.value = 20
    assert finder.picture.value.count("<circle") == 2 * 4
    assert "limit 20: 196 posts/s" in finder.picture.value
    assert "Little" not in finder.picture.value
    finder.law.value = True
    assert finder.picture.value.count("<circle") == 2 * 10
    assert "Little&#x27;s law" in finder.picture.value
    data, _ = finder._repr_mimebundle_()
    assert "The knee is at 20" in data["text/plain"]
