"""Copies of a learner's files, made before an update replaces them."""

import re
import shutil
import time
from pathlib import Path

from loopclinic.paths import state_dir


class UpdateError(RuntimeError):
    """The update can't go on; the message names the repair."""


def kept_folder() -> Path:
    """Return the folder for what this update replaces, in the state folder; it need not exist yet."""
    return state_dir() / "set-aside" / time.strftime("%Y-%m-%d_%H-%M-%S")


def put_back(source: Path, target: Path, path: str) -> None:
    """Copy one file to its place below another folder."""
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / path, target / path)


def newer_lab(path: str) -> str | None:
    """Say that an edited lab stays although the kit has a newer one; None for any other file."""
    lab = re.match(r"labs/(\d\d)_", path)
    return lab and f"{path}: yours stays, but the kit has a new one: loopclinic reset {lab[1]}"
