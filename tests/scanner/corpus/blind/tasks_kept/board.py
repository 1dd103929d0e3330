"""A to-do board whose API happens to have a create_task of its own."""

import asyncio

from notifier import Notifier


class Board:
    def __init__(self) -> None:
        self.cards: list[str] = []

    def create_task(self, title: str) -> str:
        self.cards.append(title)
        return title

    def sleep(self, days: int) -> None:
        self.cards.append(f"sleep {days}")


async def plan(board: Board, notifier: Notifier) -> None:
    board.create_task("call the bank")  # clean: a card, not a task of the loop
    board.sleep(3)  # clean: snoozes the board
    asyncio.sleep(1)  # expect: unawaited-coroutine
    notifier.notify_kept("ann", "planned")  # expect: unawaited-coroutine
    _ = asyncio.create_task(notifier.notify("ann", "planned"))  # expect: dropped-task
