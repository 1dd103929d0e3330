"""The rehearsal of lab 04 where the lab and the service answer in an order that is rare."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace

import pytest

from loopclinic.lessons.unbounded_gather import rehearsal
from loopclinic.lessons.unbounded_gather.endings import cancellation
from loopclinic.servers import Counts


@dataclass
class Service:
    """A service that nobody sends to; it is asked for its counts."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def reset(self) -> None:
        pass

    async def set(self, **dials) -> None:
        pass

    async def counts(self) -> Counts:
        self.asked.set()
        await asyncio.sleep(0.01)  # whoever waited for it goes on meanwhile
        return Counts()


@pytest.mark.parametrize("stops", [False, True])
async def test_who_ends_while_the_service_is_asked_was_not_cancelled(stops):
    """It hoards posts until the source stops, and returns between the last look and the cancel."""
    service = Service()
    facts = {}

    async def publish(_session, posts, *, limit):
        held = [post async for post in posts] if stops else [await anext(posts)]
        await service.asked.wait()
        return SimpleNamespace(published=len(held), failed={})

    stage = SimpleNamespace(rng=Random(1), fact=facts.__setitem__, step=lambda _: None)
    lab = SimpleNamespace(publish=publish)
    found = rehearsal._Rehearsal(lab, stage, service, None)
    await found.crowd()
    assert facts["crowd"]["early"]
    assert facts["crowd"]["stopped"] == stops
    told = list(cancellation(facts))
    assert len(told) == (not stops)  # that it hoards is told elsewhere
    assert all(
        "publish returned after" in reason.sentence and not reason.conflict for reason in told
    )
