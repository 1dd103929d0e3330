"""Runs experiments with `nest_asyncio` and `nest_asyncio2` in processes of their own, on any Python."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from loopclinic.lessons.core.child_programs import ran

PATCHES = ("nest_asyncio", "nest_asyncio2")
_PROGRAM = Path(__file__).with_name("patch_program.py")


async def tried(patch: str, *experiments: str, python: str = sys.executable) -> dict[str, Any]:
    """Return what each experiment of `patch_program` showed under a patch, plain for an empty name.

    Raises:
        RuntimeError: the program failed.
    """
    spec = importlib.util.find_spec(patch) if patch else None
    path = str(spec.origin) if spec else ""
    status, out, err = await ran((python, "-I", str(_PROGRAM), path, *experiments))
    if status:
        raise RuntimeError(f"{_PROGRAM.name} ended with status {status}: {err.decode()[-300:]}")
    found: dict[str, Any] = json.loads(out)
    return found
