from dataclasses import dataclass


@dataclass
class Product:
    sku: str
    stock: int

    def take(self, amount: int) -> None:
        if amount > self.stock:
            raise ValueError("not enough in stock")
        self.stock -= amount
