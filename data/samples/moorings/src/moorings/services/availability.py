"""Which berths are free for a vessel, and what they cost."""

import asyncio
from dataclasses import dataclass
from datetime import date

from ..adapters.tides import lowest
from ..cache import Cache
from ..domain import Berth, Booking, Tariff, Vessel
from ..repositories import BerthRepository

PORT = "buesum"


@dataclass
class Offer:
    berth: Berth
    cents: int

    def as_dict(self) -> dict[str, object]:
        return {"berth": self.berth.id, "label": self.berth.label, "cents": self.cents}


class Availability:
    def __init__(self, berths: BerthRepository, tariff: Tariff) -> None:
        self.berths = berths
        self.tariff = tariff
        self.cache = Cache("offers", 120)

    def deep_enough(self, berth: Berth, vessel: Vessel, arrives_on: date) -> bool:
        return berth.depth_cm + lowest(PORT, arrives_on) >= vessel.draft_cm + 30

    def _offer(self, berth: Berth, vessel: Vessel, arrives_on: date, leaves_on: date) -> Offer:
        trial = Booking(0, berth.id, vessel.id, arrives_on, leaves_on)
        return Offer(berth, self.tariff.price(trial, vessel, power=berth.has_power))

    async def offers(self, vessel: Vessel, arrives_on: date, leaves_on: date) -> list[Offer]:
        free = await self.berths.free(arrives_on, leaves_on)
        found = []
        for berth in free:
            if berth.fits(vessel) and self.deep_enough(berth, vessel, arrives_on):
                found.append(self._offer(berth, vessel, arrives_on, leaves_on))
        return sorted(found, key=lambda offer: offer.cents)

    async def cached_offers(self, vessel: Vessel, arrives_on: date, leaves_on: date) -> list[dict]:
        key = f"{vessel.id}:{arrives_on}:{leaves_on}"
        known = await asyncio.to_thread(self.cache.get, key)
        if known is not None:
            return known
        offers = [offer.as_dict() for offer in await self.offers(vessel, arrives_on, leaves_on)]
        self.cache.put(key, offers)
        return offers
