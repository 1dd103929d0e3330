from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from psycopg.rows import class_row

from ..cache import Cache
from ..db.sync_pool import get_sync_pool


@dataclass
class Customer:
    id: int
    name: str
    email: str
    phone: Optional[str] = None
    password_hash: Optional[bytes] = None

    @property
    def first_name(self) -> str:
        return self.name.split()[0]


class CustomerRepository:
    """Synchronous throughout, with a cache in front."""

    def __init__(self) -> None:
        self.cache = Cache("customer", 3600)

    def _one(self, where: str, value: object) -> Customer | None:
        with get_sync_pool().connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Customer))
            return cursor.execute(f"select * from customer where {where} = %s", (value,)).fetchone()

    def get(self, customer_id: int) -> Customer | None:
        known = self.cache.get(str(customer_id))
        if known is not None:
            return Customer(**known)
        customer = self._one("id", customer_id)
        if customer is not None:
            self.cache.put(
                str(customer_id),
                {"id": customer.id, "name": customer.name, "email": customer.email, "phone": customer.phone},
            )
        return customer

    def by_email(self, email: str) -> Customer | None:
        return self._one("email", email.lower())

    def rename(self, customer_id: int, name: str) -> None:
        with get_sync_pool().connection() as connection:
            connection.execute("update customer set name = %s where id = %s", (name, customer_id))
        self.cache.drop(str(customer_id))
