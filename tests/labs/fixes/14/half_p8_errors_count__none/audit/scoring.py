"""How often a company is named, and how certain that is."""

import asyncio
from collections.abc import Sequence
from random import Random

from .models import Response

Score = tuple[float, float, float]


async def calculate_scores(responses: Sequence[Response], resamples: int) -> Score:
    """Return the share of answers that name the company, and its 5th and 95th percentile."""
    named = [bool(one.mentioned) for one in responses]
    # Pure Python holds the GIL: a thread makes the loop slower for a while, but stops it no more.
    return await asyncio.to_thread(shares, named, resamples)


def shares(named: list[bool], resamples: int) -> Score:
    """Return the share of those named, and its 5th and 95th percentile by bootstrap."""
    rng, many = Random(len(named)), len(named)  # noqa: S311 - no secret
    drawn = sorted(sum(rng.choices(named, k=many)) / many for _ in range(resamples))
    return sum(named) / many, drawn[len(drawn) // 20], drawn[-1 - len(drawn) // 20]
