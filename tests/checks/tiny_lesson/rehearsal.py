"""Drives the tiny lab."""

from loopclinic.probe import Probe


async def rehearse(lab, stage):
    stage.step("doubling a number")
    with Probe(threshold=0.04) as probe:
        number = stage.rng.randrange(1000)
        answer = await lab.double(number)
        stage.fact("answer", [number, answer])
    # What else may hold the loop is a busy machine, whoever wrote the lab.
    slept = [one for one in probe.report().stalls if one.conflict == "blocking-sleep"]
    stage.fact("stalls", [[one.file, one.line, one.seconds] for one in slept])
    stage.step("counting")
    counter = lab.Counter(start=2)
    counter.add(3)
    stage.fact("count", counter.value + 0)
    stage.fact("services", dict(stage.services))
