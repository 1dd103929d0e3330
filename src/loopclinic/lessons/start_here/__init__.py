"""Lesson 00: the notebook's own event loop, blocked on purpose and observed."""

from loopclinic.lessons.catalogue import Lesson

LESSON = Lesson(
    number="00",
    stem="start_here",
    title="This page is an event loop",
    summary="Freeze this notebook's own event loop, and read what the scope saw.",
    minutes=10,
)
