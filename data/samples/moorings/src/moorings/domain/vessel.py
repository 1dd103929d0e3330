from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Vessel:
    id: int
    customer_id: int
    name: str
    length_cm: int
    draft_cm: int
    mmsi: Optional[int] = None

    def meters(self) -> float:
        return self.length_cm / 100

    def __str__(self) -> str:
        return f"{self.name} ({self.meters():.1f} m)"
