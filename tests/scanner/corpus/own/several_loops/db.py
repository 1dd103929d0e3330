from openai import AsyncOpenAI
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine("postgresql+asyncpg://app@db/app")
reports = create_async_engine("postgresql+asyncpg://app@db/reports")  # expect: loop-bound-primitive
Session = async_sessionmaker(engine)
model = AsyncOpenAI()  # expect: loop-bound-primitive
quiet = create_async_engine("postgresql+asyncpg://app@db/quiet")  # clean: one loop uses it
