"""Errors that the API turns into answers."""


class MooringsError(Exception):
    """Anything the product itself refuses."""

    status = 400


class NotFound(MooringsError):
    status = 404

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"There is no {what} {key}.")
        self.what = what
        self.key = key


class Conflict(MooringsError):
    status = 409


class BerthTaken(Conflict):
    def __init__(self, berth: str) -> None:
        super().__init__(f"Berth {berth} is taken on those days.")


class VesselTooLong(Conflict):
    pass


class UpstreamFailed(MooringsError):
    status = 502
