import logging
from typing import Optional

from ..adapters.crm import CrmAdapter
from ..errors import MooringsError, NotFound
from ..repositories import Customer, CustomerRepository
from ..security import authenticate, hash_password

logger = logging.getLogger(__name__)


class WrongPassword(MooringsError):
    status = 401


class CustomerService:
    def __init__(self, customers: CustomerRepository, crm: CrmAdapter) -> None:
        self.customers = customers
        self.crm = crm

    def find(self, customer_id: int) -> Customer:
        customer = self.customers.get(customer_id)
        if customer is None:
            raise NotFound("customer", customer_id)
        return customer

    async def profile(self, customer_id: int) -> dict[str, object]:
        customer = self.find(customer_id)
        contact = self.crm.contact(customer.email) or {}
        return {"name": customer.name, "email": customer.email, "club": contact.get("club")}

    async def log_in(self, email: str, password: str) -> Customer:
        customer = self.customers.by_email(email)
        if not await authenticate(password, customer.password_hash if customer else None):
            raise WrongPassword("The address or the password is wrong.")
        return customer

    async def rename(self, customer_id: int, name: str) -> None:
        self.customers.rename(customer_id, name)

    @staticmethod
    async def new_hash(password: str) -> bytes:
        return hash_password(password)

    def greeting(self, customer: Optional[Customer]) -> str:
        return f"Ahoy {customer.first_name}" if customer else "Ahoy"
