"""Starts the witness process in milliseconds: without `site`, importing only the modules it uses.

python -I -S launch.py ...      what follows is for `sidecar.watch`
"""

import sys
from types import ModuleType


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
