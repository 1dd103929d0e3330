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
    """A pytest plugin that records what happens: each remark with its test, file and line."""

    def __init__(self, folder: Path, tell: Any) -> None:
        self._folder, self._tell = folder, tell
        self._own = f"{folder}{os.sep}"
        self._tests: dict[str, dict[str, Any]] = {}
        self.found: dict[str, Any] = {"tests": 0, "files": [], "failed": [], "unawaited": []}

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        test = self._tests[nodeid] = self._remark(nodeid, "", location)
        if test["file"] not in self.found["files"]:
            self.found["files"].append(test["file"])
        self._tell("test", **test)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.found["tests"] += report.when == "call" and not report.skipped
        self._fail(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._fail(report)

    def pytest_warning_recorded(self, warning_message: Any, nodeid: str) -> None:
        said = str(warning_message.message)
        if "never awaited" in said:
            test = self._tests.get(nodeid, self._remark(nodeid, "", ("", None)))
            if warning_message.filename.startswith(self._own):
                test = {**test, "file": warning_message.filename, "line": warning_message.lineno}
            self.found["unawaited"].append({**test, "message": said.partition("\n")[0][:200]})

    def _fail(self, report: Any) -> None:
        if not report.failed or len(self.found["failed"]) >= _MOST:
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash else str(report.longrepr).strip()[-300:]
        remark = self._remark(report.nodeid, said[:300], report.location)
        if crash and crash.path.startswith(self._own):  # else it came out of a library
            remark |= {"file": crash.path, "line": crash.lineno}
        self.found["failed"].append(remark)

    def _remark(self, name: str, message: str, location: Any) -> dict[str, Any]:
        file, line = location[:2]
        line = None if line is None else line + 1
        return {"name": name, "message": message, "file": str(self._folder / file), "line": line}


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
            tell("run", name="", message="", file="", line=None)
            recorder = _Recorder(folder, tell)
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
