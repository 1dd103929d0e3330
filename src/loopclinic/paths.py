"""Paths of the kit: its root, its data, and the user's state folder."""

import os
from pathlib import Path

_CLONE = Path(__file__).resolve().parents[2]
"""What an editable install lies in: src/loopclinic/paths.py -> the root."""
_CARRIED = Path(__file__).with_name("kit")
"""The kit's folders in an installed wheel (hatch_build.py); a clone has none here."""


class KitNotFoundError(Exception):
    """The kit's folder was not found; the message says how to point at it."""


def kit_root(start: Path | None = None) -> Path:
    """Return the kit's root: `LOOPCLINIC_ROOT`, or the nearest parent of `start` that holds `labs/`.

    `start` is the working directory unless given.

    Raises:
        KitNotFoundError: neither leads to a folder that holds `labs/`, `notebooks/` and `solutions/`.
    """
    named = os.environ.get("LOOPCLINIC_ROOT")
    if named:
        root = Path(named).expanduser().resolve()
        if _is_root(root):
            return root
        raise KitNotFoundError(
            f"LOOPCLINIC_ROOT is {named}, which holds no labs/, notebooks/ and solutions/: "
            "set it to the folder you cloned, or unset it."
        )
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if _is_root(folder):
            return folder
    if _is_root(_CLONE):
        return _CLONE
    raise KitNotFoundError(
        f"No folder above {here} holds labs/, notebooks/ and solutions/: change into the kit's folder, "
        "set LOOPCLINIC_ROOT to it, or make one with loopclinic init FOLDER."
    )


def shipped_kit() -> Path | None:
    """Return the folder of the kit's files that this package carries; None if it lies in a clone."""
    return _CARRIED if _is_root(_CARRIED) else None


def kit_part(*names: str) -> Path:
    """Return a file or folder of the kit: of this package or its clone, wherever it is called from.

    KitNotFoundError if there is neither, and `kit_root` finds none.
    """
    own = (shipped_kit() or _CLONE).joinpath(*names)
    return own if own.exists() else kit_root().joinpath(*names)


def kit_data(*names: str) -> Path:
    """Return a folder of the kit's `data/`, as `kit_part` does."""
    return kit_part("data", *names)


def _is_root(folder: Path) -> bool:
    # All three: the kit's own tests/ holds the first two.
    return all((folder / room).is_dir() for room in ("labs", "notebooks", "solutions"))


def state_dir() -> Path:
    """Return the user's state folder, made if missing: `LOOPCLINIC_HOME`, or the platform's own.

    Raises:
        PermissionError: the folder can't be made; the message names `LOOPCLINIC_HOME`.
    """
    named = os.environ.get("LOOPCLINIC_HOME")
    if named:
        folder = Path(named).expanduser()
    else:
        import platformdirs  # the light install has no state to keep

        folder = Path(platformdirs.user_state_dir("loopclinic", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{folder} can't be made ({error.strerror}): set LOOPCLINIC_HOME to a folder you may write to."
        ) from error
    return folder
