"""Every lesson's right answers and half-fixes: what passes, what fails, and for which reason."""

import pytest

from tests.labs.conftest import holds, verdict_of


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_verdict(case, tmp_path):
    verdict = verdict_of(case.lesson, case.laid_out(tmp_path))
    assert holds(case, verdict), str(verdict)
    assert verdict.seconds < 30, str(verdict)
    assert all(reason.next_step for reason in verdict.reasons), str(verdict)
