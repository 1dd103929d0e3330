"""A unit of work around one synchronous SQLAlchemy session."""

from __future__ import annotations

import os
from types import TracebackType

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from domain import Product

_factory = sessionmaker(bind=create_engine(os.environ["SHOP_DSN"]))


class ProductRepository:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen: dict[str, Product] = {}

    def get(self, sku: str) -> Product:
        row = self.session.execute(
            text("select sku, stock from product where sku = :sku"), {"sku": sku}
        ).one()
        return self.remember(Product(row.sku, row.stock))

    def remember(self, product: Product) -> Product:
        self.seen[product.sku] = product
        return product


class UnitOfWork:
    products: ProductRepository

    def __enter__(self) -> UnitOfWork:
        self.session: Session = _factory()
        self.products = ProductRepository(self.session)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.rollback()
        self.session.close()

    def commit(self) -> None:
        self.session.commit()
