"""Every test has a state folder of its own: nobody's progress is read or written."""

import pytest


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path_factory.mktemp("home")))
