"""Coroutine methods of libraries, without and with `await`."""

import aiofiles
import aiofiles.os
import aiosmtplib
import async_timeout
import discord
from aiogram import Bot as TelegramBot
from aiogram.types import Message
from anthropic import AsyncAnthropic
from discord.ext import commands
from motor.motor_asyncio import AsyncIOMotorClient
from telegram import Update
from telegram.ext import ContextTypes

bot = commands.Bot(command_prefix="!")
mongo = AsyncIOMotorClient("mongodb://localhost")
model = AsyncAnthropic()
bot.load_extension("cogs.shop")  # expect: unawaited-coroutine


@bot.event
async def on_ready():
    bot.add_cog(None)  # expect: unawaited-coroutine
    await bot.load_extension("cogs.late")  # clean: awaited
    bot.add_view(None)  # clean: no coroutine


@bot.command()
async def shop(ctx: commands.Context, member: discord.Member):
    ctx.send("hello")  # expect: unawaited-coroutine
    member.add_roles(None)  # expect: unawaited-coroutine
    sent = await ctx.reply("hello")
    sent.delete()  # expect: unawaited-coroutine
    await sent.edit(content="x")  # clean: awaited


async def pressed(interaction: discord.Interaction):
    interaction.response.send_message("done")  # expect: unawaited-coroutine
    await interaction.followup.send("done")  # clean: awaited


async def answered(message: Message, tg: TelegramBot):
    message.answer("hi")  # expect: unawaited-coroutine
    tg.send_message(1, "hi")  # expect: unawaited-coroutine
    return message.reply("hi")  # clean: the dispatcher awaits it


async def start(update: Update, context: ContextTypes.DEFAULT_TYPE):
    update.message.reply_text("hi")  # expect: unawaited-coroutine
    context.bot.send_message(1, "hi")  # expect: unawaited-coroutine
    await update.callback_query.answer()  # clean: awaited


async def stored():
    row = mongo.shop.orders.find_one({})  # expect: unawaited-coroutine
    print(row["id"])
    rows = mongo.shop.orders.find({})  # clean: a cursor
    async for one in rows:
        print(one)


async def mailed(message):
    aiosmtplib.send(message)  # expect: unawaited-coroutine
    async with aiosmtplib.SMTP() as smtp:
        smtp.send_message(message)  # expect: unawaited-coroutine


async def written(path):
    async with aiofiles.open(path) as file:
        file.write("x")  # expect: unawaited-coroutine
        text = await file.read()  # clean: awaited
    aiofiles.os.remove(path)  # expect: unawaited-coroutine
    with async_timeout.timeout(5):  # expect: sync-cm-mixed
        return text


async def asked():
    answer = model.messages.create(model="m", messages=[])  # expect: unawaited-coroutine
    print(answer.content)
    later = await model.messages.create(model="m", messages=[])  # clean: awaited
    return later.content
