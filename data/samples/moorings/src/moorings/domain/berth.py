from dataclasses import dataclass

from .vessel import Vessel


@dataclass(frozen=True)
class Berth:
    id: int
    pier: str
    place: int
    length_cm: int
    depth_cm: int
    has_power: bool = True

    @property
    def label(self) -> str:
        return f"{self.pier}{self.place:02d}"

    def fits(self, vessel: Vessel, spare_cm: int = 50) -> bool:
        return (
            vessel.length_cm + spare_cm <= self.length_cm
            and vessel.draft_cm + spare_cm <= self.depth_cm
        )
