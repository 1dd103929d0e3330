import asyncio

from adapters import _get


async def main() -> None:
    print(await _get("/customers/1"))


if __name__ == "__main__":
    loop = asyncio.get_event_loop()  # expect: get-event-loop
    loop.run_until_complete(main())
