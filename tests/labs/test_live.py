"""Runs one live check for each kind of server that labs talk to; `make prove` runs all of them."""

import pytest

from tests.labs.recorded import SUBMISSIONS, to_dict


@pytest.mark.alone
@pytest.mark.parametrize(
    "name",
    [
        "01-solution",  # a service that answers by a schedule
        "02-shipped",  # PostgreSQL, and a lab that hangs
        "03-solution",  # a WSGI server in a process of its own
        "06-solution",  # S3, far away
        "09-solution",  # Valkey, and a lab in virtual time
    ],
)
def test_verdict(name, live):
    submission = SUBMISSIONS[name]
    verdict = live(submission, "as it is", 1)
    assert submission.agrees(to_dict(verdict)), str(verdict)
