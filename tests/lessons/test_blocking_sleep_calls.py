"""One call of a lab: how it ended and where it waited."""

import asyncio
from types import SimpleNamespace

from loopclinic.lessons.blocking_sleep.calls import Call, Watch, settle


def lab(function):
    return SimpleNamespace(transcribe=function)


async def waits(session, clip, **options):
    await asyncio.sleep(60)  # here


async def test_endings():
    async def answers(session, clip, **options):
        return "text"

    async def fails(session, clip, **options):
        raise KeyError("no")

    async def stays(session, clip, **options):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if options["over"].is_set():
                    raise

    over = asyncio.Event()
    calls = [
        Call(lab(function), None, b"", over=over) for function in (answers, fails, waits, stays)
    ]
    endings = list((await settle(calls, 0.05)).values())
    assert [one["how"] for one in endings] == ["returned", "raised", "unfinished", "running"]
    assert endings[0]["value"] == "'text'"
    assert not endings[0]["right"]
    assert endings[1]["error"][:2] == ["KeyError", "LookupError"]
    assert "# here" in endings[2]["place"]["code"]
    over.set()
    calls[3].task.cancel()
    await asyncio.wait([calls[3].task])


async def test_cancelled_by_somebody_else():
    call = Call(lab(waits), None, b"")
    await asyncio.sleep(0)
    call.task.cancel()
    await asyncio.wait([call.task])
    assert call.ending()["how"] == "cancelled"


async def test_what_is_not_awaitable_is_said():
    call = Call(lab(lambda session, clip: "text"), None, b"")
    (ending,) = (await settle([call], 1)).values()
    assert ending["how"] == "raised"
    assert "must stay async" in ending["message"]


async def test_watch_finds_the_line_through_other_peoples_frames():
    async def around(session, clip, **options):
        async with asyncio.timeout(60):
            await waits(session, clip)

    calls = [Call(lab(around), None, b"")]
    async with Watch(calls) as watch:
        await asyncio.sleep(0.1)
    await settle(calls, 0)
    assert "# here" in watch.place["code"]
    assert not watch.nested
