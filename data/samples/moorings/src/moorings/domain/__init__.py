from .berth import Berth
from .booking import Booking, BookingState
from .tariff import Season, Tariff
from .vessel import Vessel

__all__ = ["Berth", "Booking", "BookingState", "Season", "Tariff", "Vessel"]
