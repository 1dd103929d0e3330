"""Drives the shelf lab."""

import sys

from loopclinic.probe import Probe


async def rehearse(lab, stage):
    stage.step("counting")
    with Probe(threshold=0.04) as probe:
        stage.fact("answer", await lab.count("a", "b"))
    # What else may hold the loop is a busy machine, whoever wrote the lab.
    slept = [one for one in probe.report().stalls if one.conflict == "blocking-sleep"]
    stage.fact("stalls", [[one.file, one.line, one.code] for one in slept])
    stage.fact("modules", sorted(name for name in sys.modules if name.startswith("shelf.")))
    stage.fact("as_shipped", stage.antipattern.count is not lab.count)
