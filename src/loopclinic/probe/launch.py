"""Starts the process beside the program, in milliseconds: without site, and of loopclinic only what it uses.

python -I -S launch.py ...      what follows is for `sidecar.watch`
"""

import sys
from types import ModuleType

__all__: list[str] = []


def _bare() -> None:
    """Stand in for the two packages, whose own imports would take ten times as long as the rest."""
    probe = __file__.rpartition("/")[0]  # pathlib takes longer than all the rest
    for name, folder in (("loopclinic", probe.rpartition("/")[0]), ("loopclinic.probe", probe)):
        package = ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package


if __name__ == "__main__":
    _bare()
    from loopclinic.probe.sidecar import main

    main(sys.argv[1:])
