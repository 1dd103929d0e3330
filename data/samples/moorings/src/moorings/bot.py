"""The harbormaster's Telegram bot: arrivals, weather, gate codes."""

import asyncio
import logging
from datetime import date

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from .adapters.tides import tides
from .config import get_settings
from .repositories import BookingRepository
from .security import gate_code
from .services.availability import PORT
from .services.weather import weather

logger = logging.getLogger(__name__)
router = Router()
bookings = BookingRepository()


def lines(found) -> str:
    return "\n".join(f"{one.id}: berth {one.berth_id}, until {one.leaves_on}" for one in found)


@router.message(Command("today"))
async def today(message: Message) -> None:
    await message.answer(lines(bookings.arriving(date.today())) or "Nobody arrives today.")


@router.message(Command("tides"))
async def tide_table(message: Message) -> None:
    found = await asyncio.to_thread(tides, PORT, date.today())
    await message.answer("\n".join(f"{one.at:%H:%M} {one.height_cm} cm" for one in found))


@router.message(Command("gate"))
async def gate(message: Message, command: CommandObject) -> None:
    booking = await bookings.get(int(command.args or 0))
    if booking is None:
        await message.answer("There is no such booking.")
        return
    await message.answer(gate_code(booking.id))


@router.message(Command("wind"))
async def wind(message: Message) -> None:
    await message.answer(f"Force {await weather.wind_force()}")


@router.message(F.text)
async def anything(message: Message) -> None:
    message.answer("Try /today, /tides, /gate or /wind.")


async def main() -> None:
    bot = Bot(get_settings().bot_token)
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await dispatcher.start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())
