"""Notebook 91: scan, run, attach to and compare your own code, and write one page for a review."""

from loopclinic.lessons.catalogue import Lesson

LESSON = Lesson(
    number="91",
    stem="design_review",
    title="Your own code: scan, run, attach, compare",
    summary="Scan it, run it under the probe, attach to a running process, and compare two designs on one page.",
    minutes=15,
    requires=("00",),
)
