"""Begins to watch a program from within, before its first line.

Python imports a module of this name at its start, so `sys.argv`, `__main__`, `sys.path` and `-m` are
Python's own work and not an imitation. This one takes itself off the path again, lets whatever
sitecustomize the machine has run after it, and leaves no trace in the environment, so that processes
which the program starts are not watched.
"""

import importlib
import json
import os
import sys
from typing import Any


def _begin(settings: dict[str, Any]) -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs 5 ms
    sys.path[:] = [entry for entry in sys.path if entry != here]
    path = settings.pop("path")
    if path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = str(path)
    try:
        observer = importlib.import_module(settings.pop("observer"))  # after the path is mended
        observer.observe(**settings)
    except Exception as error:  # the program is run all the same
        complaint = {"kind": "blind", "reason": f"{type(error).__name__}: {error}"}
        os.write(settings["channel"], json.dumps(complaint).encode() + b"\n")


def _give_way() -> None:
    ours = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = ours


if "LOOPCLINIC_RUN" in os.environ:
    _begin(json.loads(os.environ.pop("LOOPCLINIC_RUN")))
    _give_way()
