import asyncio

from uow import UnitOfWork


class Allocation:
    def __init__(self, uow: UnitOfWork | None = None) -> None:
        self.uow = uow or UnitOfWork()

    async def allocate(self, sku: str, amount: int) -> int:
        with self.uow as uow:  # expect-via: blocking-db
            product = uow.products.get(sku)  # expect-via: blocking-db
            product.take(amount)  # clean: plain arithmetic
            uow.products.remember(product)  # clean: a dictionary
            uow.commit()  # expect-via: blocking-db
            return product.stock

    def _allocate(self, sku: str, amount: int) -> int:
        with self.uow as uow:
            product = uow.products.get(sku)
            product.take(amount)
            uow.commit()
            return product.stock

    async def allocate_elsewhere(self, sku: str, amount: int) -> int:
        return await asyncio.to_thread(self._allocate, sku, amount)  # clean: in a thread
