"""Drives the tiny lab."""

from loopclinic.probe import Probe


async def rehearse(lab, stage):
    stage.step("doubling a number")
    with Probe(threshold=0.04) as probe:
        number = stage.rng.randrange(1000)
        answer = await lab.double(number)
        stage.fact("answer", [number, answer])
    stalls = [[stall.file, stall.line, stall.seconds] for stall in probe.report().stalls]
    stage.fact("stalls", stalls)
    stage.step("counting")
    counter = lab.Counter(start=2)
    counter.add(3)
    stage.fact("count", counter.value + 0)
    stage.fact("services", dict(stage.services))
