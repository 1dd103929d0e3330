import asyncio
from typing import TypeAlias

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import Message

from .container import Container, get_container

router = Router()
Services: TypeAlias = Container


@router.message(Command("start"))
async def start(message: Message, services: Services) -> None:
    await message.answer(services.prompts["welcome"])  # expect-via: blocking-file-io


@router.message(Command("name"))
async def name(message: Message, services: Services) -> None:
    await message.answer(services.name)  # clean: a property that formats a name


@router.message(Command("voices"))
async def voices(message: Message) -> None:
    container = get_container()
    await message.answer(", ".join(container.voice.voices()))  # expect-via: blocking-sdk


@router.message(Command("echo"))
async def echo(message: Message, services: Services) -> None:
    await message.answer(services.echo.ask(message.text or ""))  # clean: returns its argument


@router.message(Command("forget"))
async def forget(message: Message, services: Services) -> None:
    services.redis.delete(f"chat:{message.chat.id}")  # expect: blocking-redis
    await message.answer("forgotten")


@router.message(F.text)
async def talk(message: Message, services: Services) -> None:
    context = services.context(message.chat.id)  # expect-via: blocking-redis
    answer = services.model.ask(f"{context}\n{message.text}")  # expect-via: blocking-sdk
    await message.answer(answer)


@router.message(F.caption)
async def talk_well(message: Message, services: Services) -> None:
    context = await asyncio.to_thread(services.context, message.chat.id)  # clean: in a thread
    answer = await services.amodel().ask(f"{context}\n{message.caption}")  # expect-via: blocking-file-io
    await message.answer(answer)


@router.message(F.voice)
async def voice(message: Message) -> None:
    if (history := get_container().history(message.chat.id)):  # expect-via: blocking-redis
        await message.answer(history[-1])


async def _remind(message: Message) -> None:
    await asyncio.sleep(60)
    await message.answer("still there?")


@router.message(Command("remind"))
async def remind(message: Message) -> None:
    reminder = asyncio.create_task(_remind(message))  # expect: dropped-task
    await message.answer("I will")
