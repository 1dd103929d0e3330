from .models import Order
from .repository import OrderRepository


class OrderService:
    def __init__(self, orders: OrderRepository) -> None:
        self.orders = orders

    def close_all(self, customer_id: int) -> int:
        found = self.orders.open_orders(customer_id)
        for order in found:
            self.orders.close(order.id)
        return len(found)

    @staticmethod
    def price(order: Order) -> str:
        return f"{order.total_cents / 100:.2f}"
