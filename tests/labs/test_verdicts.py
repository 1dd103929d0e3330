"""Every lesson's right answers and half-fixes: what passes, what fails, and for which reason."""

import pytest

from tests.labs.conftest import verdict_of, wanted_status


@pytest.mark.slow
def test_verdict(case, tmp_path):
    verdict = verdict_of(case.lesson, case.laid_out(tmp_path))
    # Where the machine is too busy to be sure, what was seen must still be what there is.
    doubted = "too busy" in verdict.headline and not case.passes
    assert verdict.status == wanted_status(case) or doubted, str(verdict)
    assert verdict.conflict == case.conflict, str(verdict)
    assert verdict.seconds < 30, str(verdict)
    assert all(reason.next_step for reason in verdict.reasons), str(verdict)
