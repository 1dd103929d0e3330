"""Notebook 91: three doors for your own code, and one page to attach to a review."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="91",
    stem="design_review",
    title="Your own code, three doors",
    summary="Scan it, run it under the probe, compare two designs, and attach one page to the review.",
    minutes=15,
    requires=("00",),
)
