"""`loopclinic update`: brings what is new in the kit, and leaves what a learner edited."""

import argparse

from loopclinic.cli import laid_out_kit, update_clone
from loopclinic.paths import kit_root


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "In a clone it fetches the newest commit (make update also installs what that needs). In a folder of "
        "`loopclinic init` it brings the files of the installed version: upgrade the package with pip first."
    )


def run(_: argparse.Namespace) -> int:
    """Update the clone or the folder that the working directory lies in."""
    root = kit_root()
    (laid_out_kit.update if laid_out_kit.is_laid_out(root) else update_clone.update)(root)
    return 0
