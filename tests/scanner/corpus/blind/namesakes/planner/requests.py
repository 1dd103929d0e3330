"""Leave requests of the staff."""

from dataclasses import dataclass, field


@dataclass
class Book:
    pending: list[str] = field(default_factory=list)

    def get(self, index: int) -> str:
        return self.pending[index]

    def post(self, who: str) -> None:
        self.pending.append(who)


def get(book: Book) -> list[str]:
    return list(book.pending)
