from typing import Protocol


class Ledger(Protocol):
    def book(self, amount: int) -> None: ...


class Mailer(Protocol):
    async def send(self, text: str) -> None: ...

    def queue(self, text: str) -> None: ...


class Rates(Protocol):
    def rate(self, name: str) -> float: ...
