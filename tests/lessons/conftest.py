"""Fixtures: state folders with a private PostgreSQL that a test may damage."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def own_homes():
    """State folders that root's server account may enter, with a server each."""
    with tempfile.TemporaryDirectory(prefix="loopclinic-test-", ignore_cleanup_errors=True) as top:
        Path(top).chmod(0o711)
        homes = [Path(top) / name for name in ("one", "two")]
        for home in homes:
            home.mkdir(mode=0o711)
        yield homes
        for home in homes:
            command = [sys.executable, "-m", "loopclinic", "servers", "down", "--force"]
            environ = {**os.environ, "LOOPCLINIC_HOME": str(home)}
            subprocess.run(command, env=environ, capture_output=True, check=False)
