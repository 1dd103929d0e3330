from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum
from typing import Iterator, Optional


class BookingState(str, Enum):
    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    ARRIVED = "arrived"
    LEFT = "left"
    CANCELED = "canceled"


_NEXT = {
    BookingState.REQUESTED: {BookingState.CONFIRMED, BookingState.CANCELED},
    BookingState.CONFIRMED: {BookingState.ARRIVED, BookingState.CANCELED},
    BookingState.ARRIVED: {BookingState.LEFT},
    BookingState.LEFT: set(),
    BookingState.CANCELED: set(),
}


@dataclass(frozen=True)
class Booking:
    id: int
    berth_id: int
    vessel_id: int
    arrives_on: date
    leaves_on: date
    state: BookingState = BookingState.REQUESTED
    gate_code: Optional[str] = None

    def nights(self) -> Iterator[date]:
        day = self.arrives_on
        while day < self.leaves_on:
            yield day
            day += timedelta(days=1)

    def overlaps(self, other: "Booking") -> bool:
        return (
            self.berth_id == other.berth_id
            and self.arrives_on < other.leaves_on
            and other.arrives_on < self.leaves_on
        )

    def to(self, state: BookingState) -> "Booking":
        if state not in _NEXT[self.state]:
            raise ValueError(f"a booking that is {self.state.value} cannot become {state.value}")
        return replace(self, state=state)
