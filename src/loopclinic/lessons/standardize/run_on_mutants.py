"""Child process that runs a lab's tests as they are and on each mutant: `... FOLDER PACKAGE REPORT SECONDS`.

A process of its own: what pytest, its plugins and the tests do to it ends with it. Each test that begins
and each run that ends is a line of JSON in REPORT. Tests at which nothing moves for SECONDS end it.
"""

import contextlib
import importlib
import io
import json
import os
import re
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loopclinic.lessons.standardize.mutants import MUTANTS

_MOST = 5
_MOVES = 0.1
"""Seconds of computing that count as a move: on a busy machine all of it takes long."""
_PLUGINS = ("pytest_asyncio.plugin", "pytest_mock")
_OPTIONS = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=short", "--color=no"]
_PLACE = re.compile(r'^(?:E +File ")?(\S+\.py)(?:", line |:)(\d+)', re.MULTILINE)
"""File and line in the text of an error for which pytest has no place of its own."""


class _Report:
    """A pytest plugin that records what happens: each remark with its test, file and line."""

    def __init__(self, folder: Path, path: Path, seconds: float) -> None:
        self._folder, self._own = folder, f"{folder}{os.sep}"
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._moved, self._seconds = time.monotonic(), seconds
        threading.Thread(target=self._watch, daemon=True).start()
        self.begin()

    def begin(self) -> None:
        """Begin a run."""
        self._tests: dict[str, dict[str, Any]] = {}
        self._running: dict[str, Any] | None = None
        self.found: dict[str, Any] = {
            "tests": 0,
            "files": [],
            "failed": [],
            "unawaited": [],
            "reached": None,
        }
        self.tell("test", name="", message="", file="", line=None)

    def tell(self, kind: str, **values: Any) -> None:
        """Write a line."""
        self._moved = time.monotonic()
        self._file.write(json.dumps({"kind": kind, **values}) + "\n")

    def reach(self) -> None:
        """Record that the running test came to code where a mutant differs."""
        self.found["reached"] = self.found["reached"] or self._running

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        test = self._running = self._tests[nodeid] = self._remark(nodeid, "", location)
        if test["file"] not in self.found["files"]:
            self.found["files"].append(test["file"])
        self.tell("test", **test)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.found["tests"] += report.when == "call" and not report.skipped
        self.pytest_collectreport(report)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.fail(report.nodeid, str(report.longrepr), report.location, crash)

    def fail(self, name: str, text: str, location: Any, crash: Any = None) -> None:
        """Record a failure with its last place in the lab; `crash` is what pytest knows of it."""
        if len(self.found["failed"]) >= _MOST:
            return
        said = (
            crash.message if crash else text.strip().rpartition("\n")[2].removeprefix("E").strip()
        )
        remark = self._remark(name, said[:300], location)
        for file, line in [(crash.path, crash.lineno)] if crash else _PLACE.findall(text):
            if str(path := self._folder / file).startswith(self._own):  # else a library's
                remark |= {"file": str(path), "line": int(line)}
        self.found["failed"].append(remark)

    def pytest_warning_recorded(self, warning_message: Any, nodeid: str) -> None:
        said = str(warning_message.message)
        if "never awaited" in said:
            test = self._tests.get(nodeid, self._remark(nodeid, "", ("", None)))
            if warning_message.filename.startswith(self._own):
                test = {**test, "file": warning_message.filename, "line": warning_message.lineno}
            self.found["unawaited"].append({**test, "message": said.partition("\n")[0][:200]})

    def _remark(self, name: str, message: str, location: Any) -> dict[str, Any]:
        file, line = location[:2]
        line = None if line is None else line + 1
        return {"name": name, "message": message, "file": str(self._folder / file), "line": line}

    def _watch(self) -> None:
        """End the process once nothing was told and nothing computed for too long."""
        computed = time.process_time()
        while True:
            time.sleep(_MOVES)
            if time.process_time() - computed > _MOVES:
                computed, self._moved = time.process_time(), time.monotonic()
            if time.monotonic() - self._moved > self._seconds:
                self.tell("hung")
                os._exit(1)


def main(folder: Path, package: str, path: Path, seconds: float) -> None:
    """Run the tests, and report."""
    # Whatever else is installed is loaded by every pytest here, which takes longer than the tests.
    plugins = [one for one in _PLUGINS if find_spec(one.partition(".")[0]) is not None]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(plugins)}
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    report = _Report(folder, path, seconds)
    for name in ("", *MUTANTS):
        with contextlib.suppress(SystemExit):
            if name:
                _mutate(folder, importlib.import_module(package), name, report)
            # Whether a test fails on a mutant is all we ask: the first that does will do.
            options = [*_OPTIONS, "-x"] if name else _OPTIONS
            with contextlib.redirect_stderr(io.StringIO()) as said:
                status = pytest.main(options, [report])
            if status == pytest.ExitCode.USAGE_ERROR:
                report.fail("pytest", said.getvalue(), ("", None))
            report.tell("ran", name=name, status=int(status), **report.found)
        for module in _of(folder):  # the next run imports everything of the lab's anew
            sys.modules.pop(module.__name__, None)
        if report.found["failed"] and not name:
            break  # on a service that is right: what they say of others means nothing
        report.begin()


def _mutate(folder: Path, package: ModuleType, name: str, report: _Report) -> None:
    """Put a mutant wherever the package keeps its service."""
    right, mutant = package.BillingService, MUTANTS[name].of(package, report.reach)
    for module in _of(folder):
        for key, value in list(vars(module).items()):
            if value is right:
                setattr(module, key, mutant)


def _of(folder: Path) -> list[ModuleType]:
    """Return the lab's modules that are imported."""
    return [
        one
        for one in list(sys.modules.values())
        if str(getattr(one, "__file__", None) or "").startswith(f"{folder}{os.sep}")
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    sys.stdout.flush()
    os._exit(0)  # threads of the tests' own must not keep us
