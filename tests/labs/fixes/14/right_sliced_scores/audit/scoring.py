"""How often a company is named, and how certain that is."""

import asyncio
from collections.abc import Sequence
from random import Random

from .models import Response

Score = tuple[float, float, float]


async def calculate_scores(responses: Sequence[Response], resamples: int) -> Score:
    """Return the share of answers that name the company, and its 5th and 95th percentile."""
    named = [bool(one.mentioned) for one in responses if one.text is not None]
    rng, many = Random(len(named)), len(named)  # noqa: S311 - no secret
    drawn: list[float] = []
    while len(drawn) < resamples:
        for _ in range(min(20, resamples - len(drawn))):
            drawn.append(sum(rng.choices(named, k=many)) / many)
        await asyncio.sleep(0)
    drawn.sort()
    return sum(named) / many, drawn[len(drawn) // 20], drawn[-1 - len(drawn) // 20]
