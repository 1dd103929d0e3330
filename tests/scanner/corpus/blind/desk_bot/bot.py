"""A help-desk bot for Discord."""

import asyncio
import os
import random

import discord
import requests
from discord.ext import commands, tasks

from memory import Memory
from weather import Weather, forecast

bot = commands.Bot(command_prefix="!", intents=discord.Intents.default())
memory = Memory("desk.db")
weather = Weather()


@bot.event
async def on_ready() -> None:
    memory.prepare()  # expect-via: blocking-db


@bot.command()
async def joke(ctx: commands.Context) -> None:
    answer = requests.get("https://jokes.example/random", timeout=5)  # expect: blocking-http
    await ctx.send(answer.json()["joke"])


@bot.command()
async def note(ctx: commands.Context, *, text: str) -> None:
    memory.add(ctx.author.id, text)  # expect-via: blocking-db
    await ctx.send("noted")


@bot.command()
async def notes(ctx: commands.Context) -> None:
    found = await asyncio.to_thread(memory.all, ctx.author.id)  # clean: in a thread
    await ctx.send("\n".join(found) or "nothing yet")


@bot.command()
async def recall(ctx: commands.Context) -> None:
    await ctx.send("\n".join(memory.all(ctx.author.id)))  # expect-via: blocking-db


@bot.command()
async def roll(ctx: commands.Context) -> None:
    await ctx.send(str(random.randint(1, 6)))  # clean: a random number


@bot.command()
async def rain(ctx: commands.Context, city: str) -> None:
    await ctx.send(weather.summary(city))  # expect-via: blocking-http


@bot.command()
async def sun(ctx: commands.Context, city: str) -> None:
    await ctx.send(await forecast(city))  # clean: offloads by its decorator


@tasks.loop(minutes=10)
async def sweep() -> None:
    removed = memory.forget(days=30)  # expect-via: blocking-db
    print(f"removed {removed}")


if __name__ == "__main__":
    bot.run(os.environ["DISCORD_TOKEN"])  # clean: the entry point
