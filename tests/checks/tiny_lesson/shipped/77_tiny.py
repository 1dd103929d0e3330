"""Fix `double`.

1. It answers 2 * number.
2. It does not stall the loop.
"""

import time


async def double(number: int) -> int:
    time.sleep(0.3)
    return 2 * number


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.value = start

    def add(self, amount: int) -> None:
        self.value += amount
