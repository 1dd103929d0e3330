"""Tariffs from PostgreSQL by FastAPI and SQLAlchemy's asynchronous side; it needs psycopg 3, and DATABASE_URL."""

import os

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ADDRESS = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
TARIFF = text("select 4.2 + 0.9 * :kilograms as euros, pg_sleep(0.03)")

app = FastAPI()
engine = create_async_engine(ADDRESS, pool_size=4, max_overflow=0)


@app.get("/quote")
async def quote(kilograms: float = 2):
    """Answer with an offer for a parcel."""
    async with AsyncSession(engine) as session:
        offer = (await session.execute(TARIFF, {"kilograms": kilograms})).one()
    return {"euros": float(offer.euros)}
