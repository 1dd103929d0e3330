"""Lab 02 as it ships: for which reasons it fails, and what it promises."""

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.database import postgres_verdicts
from loopclinic.lessons.sync_database import check
from tests.labs.recorded import LAB

LESSON = lesson("02")


def test_lab_as_shipped_fails_for_its_two_hangs_and_its_leak(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.reasons[0].conflict == "blocking-db", str(as_shipped)
    wanted = ("blocking-db", "pool-starvation", "transaction-left-open")
    assert as_shipped.conflicts == wanted, str(as_shipped)


@pytest.mark.parametrize(
    ("conflict", "code", "seen"),
    [
        ("blocking-db", "cursor.execute(COMPANY", "1 waiting for a lock"),
        ("pool-starvation", "self.pool.getconn()", "6 idle in transaction"),
    ],
)
def test_verdict_names_the_line_that_hangs_and_what_postgresql_saw(
    as_shipped, conflict, code, seen
):
    reason = next(one for one in as_shipped.reasons if one.conflict == conflict)
    assert reason.file == str(LAB)
    assert code in LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert code in reason.sentence
    assert seen in reason.sentence
    assert "never have ended" in reason.sentence


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"{postgres_verdicts.STALL.limit:.0%} of one".replace("%", " %") in text
    assert f"get a thread within {postgres_verdicts.THREAD.limit * 1000:g} ms" in text
    assert f"A cancelled audit has {check.CANCEL.limit * 1000:g} ms" in text
    assert f"must have asked within {check.GATHER:g} s" in text
    assert postgres_verdicts.CONNECTIONS.limit == 1
    assert "at most `size` connections" in text
    assert postgres_verdicts.AT_WORK.limit == 0.5
    assert "enough if half of the `size` connections are at work" in text
    assert check.SESSIONS.limit == 2
    assert "twice `size` may be opened" in text
