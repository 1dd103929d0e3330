from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from .booking import Booking
from .vessel import Vessel


class Season(Enum):
    LOW = 0.7
    MIDDLE = 1.0
    HIGH = 1.45

    @classmethod
    def of(cls, day: date) -> "Season":
        if day.month in (7, 8):
            return cls.HIGH
        return cls.MIDDLE if 4 <= day.month <= 10 else cls.LOW


@dataclass
class Tariff:
    cents_per_meter: int = 210
    power_cents: int = 450
    discounts: dict[int, float] = field(default_factory=lambda: {7: 0.05, 28: 0.2})

    def night(self, vessel: Vessel, day: date) -> int:
        return round(self.cents_per_meter * vessel.meters() * Season.of(day).value)

    def discount(self, nights: int) -> float:
        return max((share for least, share in self.discounts.items() if nights >= least), default=0)

    def price(self, booking: Booking, vessel: Vessel, *, power: bool = False) -> int:
        days = list(booking.nights())
        total = sum(self.night(vessel, day) for day in days)
        if power:
            total += self.power_cents * len(days)
        return round(total * (1 - self.discount(len(days))))
