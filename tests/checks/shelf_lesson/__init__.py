"""A lesson whose lab is a folder: a package of two modules, and a file that is no Python."""

from pathlib import Path

from loopclinic.lessons import Lesson


class ShelfLesson(Lesson):
    @property
    def package(self) -> str:
        return "shelf_lesson"

    @property
    def shipped(self) -> Path:
        return Path(__file__).parent / "shipped" / self.name


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
