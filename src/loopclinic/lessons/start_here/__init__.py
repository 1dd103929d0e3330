"""Lesson 00: the page is an event loop, and you are about to stop it."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="00",
    stem="start_here",
    title="This page is an event loop",
    summary="Freeze the loop you are sitting on, and read the scope that saw it happen.",
    minutes=10,
)
