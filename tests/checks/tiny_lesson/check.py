"""The check of the tiny lab: two scenes."""

from dataclasses import dataclass

from loopclinic.lessons.core import Check, Scene, Stall
from loopclinic.lessons.core.scene import Kept
from loopclinic.verdict import Reason


class Doubling(Scene["Doubling.Found"]):
    title, promises = "doubling a number", (1, 2)

    @dataclass(frozen=True)
    class Found:
        number: int
        answer: int
        stall: Stall | None
        services: dict[str, str]

    async def drive(self, lab, stage):
        number = stage.rng.randrange(1, 1000)
        async with stage.watch_loop() as watch:
            answer = await lab.double(number)
        return self.Found(number, answer, watch.found.stall, dict(stage.services))

    def judge(self, found, judged):
        # A stall that looks otherwise may be a busy machine's.
        if found.stall is not None and found.stall.conflict == "blocking-sleep":
            yield Reason(
                "double sleeps on the loop.",
                conflict="blocking-sleep",
                measured=f"{found.stall.seconds * 1000:.0f} ms",
                budget="20 ms",
                file=found.stall.place.file,
                line=found.stall.place.line,
                next_step="Await asyncio.sleep instead.",
                timed=True,
                promise=2,
            )
        else:
            yield Kept(2)
        if found.answer != 2 * found.number:
            yield Reason(f"double({found.number}) gave {found.answer}.", promise=1)
        else:
            yield Kept(1)


class Counting(Scene["Counting.Found"]):
    title, promises = "counting", ()

    @dataclass(frozen=True)
    class Found:
        count: int

    async def drive(self, lab, stage):
        counter = lab.Counter(start=2)
        counter.add(3)
        return self.Found(counter.value + 0)

    def judge(self, found, judged):
        yield from ()


def praise(judged):
    return f"Doubled {judged.expect(Doubling).number}."


CHECK = Check(scenes=(Doubling(), Counting()), praise=praise)
