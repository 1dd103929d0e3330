"""The lessons: one package each, and the ordered catalogue of them."""

from loopclinic.lessons.catalogue import UnknownLessonError, lesson, lessons, treatments
from loopclinic.lessons.lesson import Budget, Lesson, Stage, Trial

__all__ = [
    "Budget",
    "Lesson",
    "Stage",
    "Trial",
    "UnknownLessonError",
    "lesson",
    "lessons",
    "treatments",
]
