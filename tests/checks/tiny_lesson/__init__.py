"""A lesson small enough to test checks with: a lab that must answer a number twice over."""

from loopclinic.lessons import Lesson


class TinyLesson(Lesson):
    @property
    def package(self) -> str:
        return "tiny_lesson"


LESSON = TinyLesson(
    number="77",
    stem="tiny",
    title="Tiny",
    summary="Twice a number, without a stall.",
    minutes=1,
    conflicts=("blocking-sleep",),
    requires=("01",),
    public=("double", "Counter"),
    hints=("Look at double.", "Replace the sleep.", "await asyncio.sleep(0.01)"),
)
