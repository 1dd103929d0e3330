"""A lesson whose lab is a folder: a package of two modules, and a file that is no Python."""

from loopclinic.lessons import Lesson


class ShelfLesson(Lesson):
    @property
    def package(self) -> str:
        return "shelf_lesson"


LESSON = ShelfLesson(
    number="78",
    stem="shelf",
    title="Shelf",
    summary="Count what stands on a shelf, without a stall.",
    minutes=1,
    conflicts=("blocking-sleep",),
    public=("count",),
    hints=("Look at stock.", "Replace the sleep.", "await asyncio.sleep(0.01)"),
)
