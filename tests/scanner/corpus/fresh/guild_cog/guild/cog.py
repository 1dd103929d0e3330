import asyncio
import contextlib
import io

import aiosqlite
import discord
from discord.ext import commands, tasks
from PIL import Image, ImageDraw

from .store import Warnings, connect


def badge(name: str, data: bytes) -> io.BytesIO:
    picture = Image.open(io.BytesIO(data)).convert("RGBA").resize((512, 512))
    ImageDraw.Draw(picture).text((10, 10), name)
    out = io.BytesIO()
    picture.save(out, "PNG")
    out.seek(0)
    return out


class Moderation(commands.Cog):
    def __init__(self, bot: commands.Bot):
        self.bot = bot
        self.warnings = Warnings(connect())
        self._pending: set[asyncio.Task] = set()
        self.sweep.start()  # clean: a loop of the library, no thread

    @commands.command()
    async def warn(self, ctx, member: discord.Member, *, reason: str = ""):
        self.warnings.add(member.id, reason)  # expect-via: blocking-db
        await ctx.send("Noted.")

    @commands.command()
    async def warnings_of(self, ctx, member: discord.Member):
        async with aiosqlite.connect("guild.db") as db:
            rows = await db.execute_fetchall("SELECT 1")  # clean: aiosqlite
        await ctx.send(str(len(rows)))

    @commands.command()
    async def card(self, ctx):
        data = await ctx.author.display_avatar.read()  # clean: awaited
        picture = badge(ctx.author.name, data)  # expect-via: cpu-bound
        await ctx.send(file=discord.File(picture, "card.png"))

    @commands.command()
    async def remind(self, ctx, minutes: int):
        asyncio.create_task(self._later(ctx, minutes))  # expect: dropped-task

    @commands.command()
    async def remind_kept(self, ctx, minutes: int):
        task = asyncio.create_task(self._later(ctx, minutes))  # clean: kept until it is done
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _later(self, ctx, minutes):
        await asyncio.sleep(minutes * 60)  # clean: asyncio's own
        await ctx.send("Time is up.")

    @tasks.loop(hours=1)
    async def sweep(self):
        try:
            await self.bot.http.get_gateway()
        except:  # expect: swallowed-cancellation
            pass

    async def cog_unload(self):
        for task in self._pending:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # clean: the task was cancelled here
                await task
