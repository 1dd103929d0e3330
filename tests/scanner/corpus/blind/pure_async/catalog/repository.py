from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

metadata = MetaData()
books = Table("book", metadata, Column("id", Integer, primary_key=True), Column("title", String))


class Books:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, book_id: int) -> str | None:
        result = await self.session.execute(select(books.c.title).where(books.c.id == book_id))  # clean: async session
        return result.scalar_one_or_none()  # clean: the rows are already here

    async def all(self) -> list[str]:
        result = await self.session.scalars(select(books.c.title))  # clean: async session
        return list(result.all())  # clean: the rows are already here

    async def add(self, title: str) -> None:
        await self.session.execute(insert(books).values(title=title))
        await self.session.commit()  # clean: async session
