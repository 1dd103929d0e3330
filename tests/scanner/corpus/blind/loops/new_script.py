import asyncio

from adapters import _get


async def main() -> None:
    print(await _get("/customers/1"))


if __name__ == "__main__":
    asyncio.run(main())  # clean: once, at the entry point
