"""The check of the shelf lab: one scene."""

import sys
from dataclasses import dataclass

from loopclinic.lessons.core import Budget, Check, Kept, Place, Scene
from loopclinic.probe import Probe
from loopclinic.verdict import Reason

ANSWER = Budget(1.0, "wrong answers", "every answer counts, and there is one")


class Counting(Scene["Counting.Found"]):
    title, promises = "counting", (1, 2)

    @dataclass(frozen=True)
    class Found:
        answer: int
        slept: list[Place]
        modules: list[str]
        as_shipped: bool

    async def drive(self, lab, stage):
        with Probe(threshold=0.04) as probe:
            answer = await lab.count("a", "b")
        # What else may hold the loop is a busy machine, whatever the lab does.
        slept = [one for one in probe.report().stalls if one.conflict == "blocking-sleep"]
        return self.Found(
            answer,
            [Place(one.file, one.line, one.code) for one in slept],
            sorted(name for name in sys.modules if name.startswith("shelf.")),
            stage.antipattern.count is not lab.count,
        )

    def judge(self, found, judged):
        for place in found.slept:
            yield Reason(
                place.code,
                conflict="blocking-sleep",
                file=place.file,
                line=place.line,
                promise=2,
                next_step="Await.",
            )
        if not found.slept:
            yield Kept(2)
        if found.answer == 2:
            yield Kept(1)


def praise(judged):
    found = judged.expect(Counting)
    return f"{found.answer} {found.modules} {found.as_shipped}"


CHECK = Check(scenes=(Counting(),), praise=praise, leaves_nothing=3)
