"""`loopclinic init FOLDER`: lays the kit out in a folder of its own, for an install without a clone."""

import argparse
import os
import shlex
from pathlib import Path

from loopclinic.cli import laid_out_kit


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or empty folder")


def run(args: argparse.Namespace) -> int:
    """Lay the kit out and say what comes next."""
    folder = args.folder.expanduser()
    count = laid_out_kit.lay_out(folder)
    print(f"{count} files of the kit are in {folder}.")
    quote = shlex.quote if os.name == "posix" else '"{}"'.format
    print(f"Next: cd {quote(str(folder))}, then loopclinic lab")
    return 0
