"""Tasks that each make a loop, over one engine, session factory and client."""

import asyncio

from celery import Celery
from db import Session, engine, model, quiet, reports
from sqlalchemy import text

app = Celery("jobs")


async def push(day):
    async with Session() as session:  # expect: loop-bound-primitive
        await session.execute(text("select 1"))


async def report():
    async with reports.begin() as conn:
        await conn.execute(text("select 1"))


async def ask(prompt):
    await model.chat.completions.create(model="m", messages=[prompt], timeout=30)


async def hush():
    async with quiet.begin() as conn:
        await conn.execute(text("select 1"))


@app.task
def daily(day):
    return asyncio.run(push(day))


@app.task
def weekly():
    return asyncio.run(report())


@app.task
def answer(prompt):
    asyncio.run(ask(prompt))


if __name__ == "__main__":
    asyncio.run(hush())
