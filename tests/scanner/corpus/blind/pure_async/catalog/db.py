"""Everything here is asynchronous; nothing should be found."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

engine = create_async_engine("postgresql+asyncpg:///catalog", pool_size=10)
session_factory = async_sessionmaker(engine, expire_on_commit=False)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:  # clean: an async session
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]
