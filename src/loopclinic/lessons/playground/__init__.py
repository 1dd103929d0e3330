"""Playground 90: turn a dial of a running service, and watch what its callers wait."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="90",
    stem="playground",
    title="The playground",
    summary="Turn the dials of a live service under load, beside what queueing theory expects of it.",
    minutes=15,
)
