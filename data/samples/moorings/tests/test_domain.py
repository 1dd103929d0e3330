from datetime import date

import pytest

from moorings.domain import Berth, Booking, BookingState, Season, Tariff, Vessel

VESSEL = Vessel(1, 1, "Seeteufel", 950, 160)


def booking(**changes) -> Booking:
    values = {
        "id": 1,
        "berth_id": 1,
        "vessel_id": 1,
        "arrives_on": date(2024, 5, 1),
        "leaves_on": date(2024, 5, 4),
    }
    return Booking(**{**values, **changes})


def test_a_vessel_needs_some_spare_length():
    assert Berth(1, "A", 1, 1000, 250).fits(VESSEL)
    assert not Berth(1, "A", 1, 980, 250).fits(VESSEL)


def test_bookings_may_touch_but_not_overlap():
    first = booking()
    assert first.overlaps(booking(arrives_on=date(2024, 5, 3), leaves_on=date(2024, 5, 9)))
    assert not first.overlaps(booking(arrives_on=date(2024, 5, 4), leaves_on=date(2024, 5, 9)))


def test_a_canceled_booking_stays_canceled():
    canceled = booking().to(BookingState.CANCELED)
    with pytest.raises(ValueError, match="canceled cannot become arrived"):
        canceled.to(BookingState.ARRIVED)


def test_a_week_is_cheaper():
    tariff = Tariff(cents_per_meter=200)
    assert Season.of(date(2024, 5, 1)) is Season.MIDDLE
    assert tariff.price(booking(), VESSEL) == 3 * 1900
    assert tariff.price(booking(leaves_on=date(2024, 5, 8)), VESSEL) == round(7 * 1900 * 0.95)
