"""Lesson 99: a wait without a deadline."""

from loopclinic.lessons.catalogue import Lesson, graded

LESSON = Lesson(
    number="99",
    stem="toy",
    title="A supplier that never answers",
    summary="A wait without a deadline: who notices, and how to end it.",
    minutes=10,
    conflicts=("missing-deadline",),
    requires=("00",),
    public=("lookup_price",),
    hints=graded("""
        Which await of `lookup_price` ends only when somebody else wants it to?

        Put one deadline around the whole call, and let its TimeoutError out.

        Write `async with asyncio.timeout(deadline):` around the await of `supplier.price(item)`.
    """),
)
