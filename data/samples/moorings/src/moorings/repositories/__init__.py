from .audit import AuditLog
from .berths import BerthRepository
from .bookings import BookingRepository
from .customers import Customer, CustomerRepository
from .vessels import VesselRepository

__all__ = [
    "AuditLog",
    "BerthRepository",
    "BookingRepository",
    "Customer",
    "CustomerRepository",
    "VesselRepository",
]
