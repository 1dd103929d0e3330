"""Working time, in hours. Not the standard library's module."""


def sleep(hours: float) -> float:
    return 24 - hours


class Redis:
    """A chemical state, in this domain."""

    def __init__(self, charge: int) -> None:
        self.charge = charge

    def get(self, name: str) -> str:
        return f"{name}{self.charge:+d}"
