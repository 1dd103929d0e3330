"""The lessons: one package each, and the ordered catalogue of them."""

from loopclinic.lessons.catalogue import Lesson, UnknownLessonError, lesson, lessons

__all__ = ["Lesson", "UnknownLessonError", "lesson", "lessons"]
