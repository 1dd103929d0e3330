from abc import ABC, abstractmethod
from typing import Protocol


class StockReader(Protocol):
    def level(self, sku: str) -> int: ...


class Clock(ABC):
    @abstractmethod
    def now(self) -> float: ...
