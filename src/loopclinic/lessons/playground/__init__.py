"""Notebook 90: change the settings of a service under load and watch how long its callers wait.

Limit: 2,953 lines, because it is an instrument and no lab: a service with its upstream, callers on a
schedule, a forecast by queueing theory, and a recording of what was seen.
"""

from loopclinic.lessons.catalogue import Lesson

LESSON = Lesson(
    number="90",
    stem="playground",
    title="The playground",
    summary="Change a live service under load, and compare it with what queueing theory predicts.",
    minutes=15,
)
