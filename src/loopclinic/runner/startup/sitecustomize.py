"""Starts the observer inside a watched program, before its first line runs.

Python imports a module of this name at its start, so `sys.argv`, `__main__`, `sys.path` and `-m` are
Python's own work and not an imitation. This one takes itself off the path again and lets whatever
sitecustomize the machine has run after it. Where the processes that the program starts are watched,
too, `PYTHONPATH` and `LOOPCLINIC_RUN` stay in the environment; else nothing of it stays.

It may be run by any Python that the program starts, so it must be readable for old ones.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from typing import Any


def _begin(settings: dict[str, Any]) -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs 5 ms
    sys.path[:] = [entry for entry in sys.path if entry != here]
    children = settings.get("children", False)
    path = settings.pop("path")
    if not children:  # else they inherit what this process found
        del os.environ["LOOPCLINIC_RUN"]
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = str(path)
    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - it may be any Python's
            raise RuntimeError("Python %d.%d is too old: 3.11 is needed" % sys.version_info[:2])  # noqa: UP031, TRY301
        _observer(settings.pop("observer")).observe(**settings)
    except Exception as error:  # the program is run all the same
        _complain(settings["channel"], "%s: %s" % (type(error).__name__, error))  # noqa: UP031 - as above


def _observer(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:  # another environment's Python; ours needs no package
        root = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))  # noqa: PTH100, PTH118, PTH120
        sys.path.append(root)
        try:
            return importlib.import_module(name)
        finally:
            sys.path.remove(root)


def _complain(channel: dict[str, Any], reason: str) -> None:
    hello = {
        "kind": "hello",
        "token": channel["token"],
        "pid": os.getpid(),
        "command": getattr(sys, "orig_argv", sys.argv if hasattr(sys, "argv") else []),
        "python": "%d.%d.%d" % sys.version_info[:3],  # noqa: UP031 - as above
    }
    lines = [json.dumps(one) for one in (hello, {"kind": "blind", "reason": reason})]
    address = channel["address"]
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.connect(address if family != socket.AF_INET else tuple(address))
        connection.sendall("".join(line + "\n" for line in lines).encode())


def _give_way() -> None:
    ours = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = ours


if "LOOPCLINIC_RUN" in os.environ:
    _begin(json.loads(os.environ["LOOPCLINIC_RUN"]))
    _give_way()
