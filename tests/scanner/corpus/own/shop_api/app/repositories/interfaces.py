"""Repositories: what services see of the database."""

from abc import ABC, abstractmethod


class OrderRepository(ABC):
    @abstractmethod
    def by_id(self, order_id): ...

    @abstractmethod
    async def by_id_async(self, order_id): ...

    def describe(self, order_id):
        return f"order {order_id}"
