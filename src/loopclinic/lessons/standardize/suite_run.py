"""Runs a lab's tests once as they are, and once on each broken service: `... FOLDER PACKAGE REPORT`.

A process of its own: what pytest, its plugins and the tests do to it ends with it. Each run and each
test is a line of JSON in REPORT as soon as it begins or ends, so that a hang can be named.
"""

import contextlib
import importlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loopclinic.lessons.standardize.broken import BROKEN

_MOST = 5
_PLUGINS = ("pytest_asyncio.plugin", "pytest_mock")
_OPTIONS = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=short", "--color=no"]


class _Recorder:
    """A pytest plugin that notes what happens."""

    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self.found: dict[str, Any] = {"tests": 0, "failed": [], "unawaited": []}

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        del location
        self._tell("test", name=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.found["tests"] += report.when == "call" and not report.skipped
        if report.failed:
            self._fail(report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._fail(report)

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        said = str(warning_message.message)
        if "never awaited" in said:
            self.found["unawaited"].append(said.partition("\n")[0][:200])

    def _fail(self, report: Any) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = str(report.longrepr)
        if len(self.found["failed"]) < _MOST:
            self.found["failed"].append(
                {
                    "name": report.nodeid,
                    "file": crash.path if crash else None,
                    "line": crash.lineno if crash else None,
                    "message": (crash.message if crash else text.strip()[-300:])[:300],
                }
            )


def main(folder: Path, package: str, report: Path) -> None:
    """Run, and report."""
    # Whatever else is installed is loaded by every pytest here, which takes longer than the tests.
    plugins = [one for one in _PLUGINS if find_spec(one.partition(".")[0]) is not None]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(plugins)}
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with report.open("a", encoding="utf-8", buffering=1) as lines:

        def tell(kind: str, **values: Any) -> None:
            lines.write(json.dumps({"kind": kind, **values}) + "\n")

        for name in ("", *BROKEN):
            tell("run", name=name)
            recorder = _Recorder(tell)
            with contextlib.suppress(SystemExit):
                if name:
                    _break(folder, importlib.import_module(package), name)
                # Whether a test fails on a broken service is all we ask: the first that does will do.
                options = [*_OPTIONS, "-x"] if name else _OPTIONS
                status = pytest.main(options, [recorder])
                tell("ran", name=name, status=int(status), **recorder.found)
            _forget(folder)
            if recorder.found["failed"] and not name:
                break  # on a service that is right: what they say of others means nothing


def _break(folder: Path, package: ModuleType, name: str) -> None:
    """Put a broken service wherever the package keeps its own."""
    right = package.BillingService
    broken = BROKEN[name][0](package)
    broken.__name__ = broken.__qualname__ = right.__name__
    broken.__module__ = right.__module__
    for module in _of(folder):
        for key, value in list(vars(module).items()):
            if value is right:
                setattr(module, key, broken)


def _of(folder: Path) -> list[ModuleType]:
    return [
        one
        for one in list(sys.modules.values())
        if str(getattr(one, "__file__", None) or "").startswith(f"{folder}{os.sep}")
    ]


def _forget(folder: Path) -> None:
    """Have the next run import everything of the lab's anew."""
    for module in _of(folder):
        sys.modules.pop(module.__name__, None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # threads of the tests' own must not keep us
