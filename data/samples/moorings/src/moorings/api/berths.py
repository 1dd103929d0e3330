from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends

from ..adapters.tides import tides, tides_async
from ..errors import NotFound
from ..repositories import BerthRepository, VesselRepository
from ..services.availability import PORT, Availability
from ..services.weather import weather
from .deps import availability

router = APIRouter(prefix="/berths", tags=["berths"])


@router.get("/")
async def berths() -> list[dict[str, object]]:
    return [{"id": one.id, "label": one.label} for one in await BerthRepository().all()]


@router.get("/offers")
async def offers(
    vessel_id: int,
    arrives_on: date,
    leaves_on: date,
    service: Annotated[Availability, Depends(availability)],
) -> list[dict]:
    vessel = await VesselRepository().get(vessel_id)
    if vessel is None:
        raise NotFound("vessel", vessel_id)
    return await service.cached_offers(vessel, arrives_on, leaves_on)


@router.get("/tides")
def tides_of_day(day: date) -> list[tuple]:
    return [tuple(tide) for tide in tides(PORT, day)]


@router.get("/conditions")
async def conditions(day: date) -> dict[str, object]:
    forecast = await weather.forecast()
    water = await tides_async(PORT, day)
    return {"forecast": forecast, "tides": water}
