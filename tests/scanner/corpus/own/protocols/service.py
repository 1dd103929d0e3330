from dataclasses import dataclass, field

from adapters import MemoryMailer, SqliteLedger, Unrelated, WebRates
from ports import Ledger, Mailer, Rates


class Checkout:
    def __init__(self, ledger: Ledger, mailer: Mailer | None = None):
        self.ledger = ledger
        self.mailer = mailer

    async def pay(self, amount: int) -> None:
        self.ledger.book(amount)  # expect-via: blocking-db
        await self.mailer.send("paid")  # clean: what is passed is async
        self.mailer.queue("paid")  # clean: what is passed appends to a list


@dataclass
class Converter:
    rates: Rates
    mailer: Mailer
    seen: list[str] = field(default_factory=list)

    async def convert(self, name: str, amount: float) -> float:
        self.seen.append(name)  # clean: a list
        self.mailer.queue(name)  # clean: what is passed appends to a list
        return amount * self.rates.rate(name)  # expect-via: blocking-http


async def quoted(name: str, rates: Rates) -> float:
    return rates.rate(name)  # expect-via: blocking-http


async def unknown(rates: Rates) -> float:
    return rates.rate("eur")  # clean: nobody says what is passed


def build() -> tuple[Checkout, Converter, Unrelated]:
    mailer = MemoryMailer()
    return (
        Checkout(SqliteLedger("shop.db"), mailer=mailer),
        Converter(WebRates(), mailer),
        Unrelated(),
    )


async def main() -> None:
    checkout, converter, _ = build()  # expect-via: blocking-db
    await checkout.pay(3)
    await converter.convert("eur", 4)
    await quoted("eur", rates=WebRates())
