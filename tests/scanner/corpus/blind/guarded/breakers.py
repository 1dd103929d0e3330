import pybreaker
from circuitbreaker import circuit

payments = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)


class Unavailable(Exception):
    pass


__all__ = ["Unavailable", "circuit", "payments"]
