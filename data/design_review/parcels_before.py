"""Tariffs from PostgreSQL by FastAPI and SQLAlchemy, as it passed review; it needs psycopg2, and DATABASE_URL."""

import os

from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

ADDRESS = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://")
TARIFF = text("select 4.2 + 0.9 * :kilograms as euros, pg_sleep(0.03)")

app = FastAPI()
engine = create_engine(ADDRESS, pool_size=4, max_overflow=0)


@app.get("/quote")
async def quote(kilograms: float = 2):
    """Answer with an offer for a parcel."""
    with Session(engine) as session:
        offer = session.execute(TARIFF, {"kilograms": kilograms}).one()
    return {"euros": float(offer.euros)}
