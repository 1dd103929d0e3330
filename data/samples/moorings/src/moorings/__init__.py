"""Berth bookings for marinas."""

__version__ = "2.14.0"
