"""`loopclinic lab`: JupyterLab on the first notebook, without a question asked.

Settings come as overrides on JUPYTER_CONFIG_PATH, so a user's own JupyterLab settings still win.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from loopclinic.places import kit_root, state_dir

__all__ = ["PASSES_ON", "configure", "lab_command", "lab_environment", "run"]

PASSES_ON = True
FIRST = "notebooks/00_start_here.ipynb"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = "Any other option goes to JupyterLab, for example --no-browser --port 8899."


def run(args: argparse.Namespace) -> int:
    """Become JupyterLab; return only where this process can't be replaced."""
    root = kit_root()
    command, environ = lab_command(root, args.rest), lab_environment()
    print("Opening JupyterLab; Control-C in this window ends it.", flush=True)
    os.chdir(root)
    if os.name == "posix":
        os.execve(command[0], command, environ)  # noqa: S606 - our own interpreter
    # Elsewhere exec starts a second process and gives the prompt back at once.
    return subprocess.call(command, env=environ)


def lab_command(root: Path, options: list[str]) -> list[str]:
    """Return the command line of JupyterLab for the kit at `root`; `options` go last, so they win.

    Raises:
        ModuleNotFoundError: JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ModuleNotFoundError("No module named 'jupyterlab'", name="jupyterlab")
    page = f"/lab/tree/{FIRST}" if (root / FIRST).exists() else "/lab"
    command = [
        sys.executable,
        *("-m", "jupyterlab"),
        f"--ServerApp.root_dir={root}",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.default_url={page}",
        # Tabs that were open in another project's JupyterLab stay there.
        f"--LabApp.workspaces_dir={state_dir() / 'lab-workspaces'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        "--LabApp.extension_manager=readonly",
        "--log-level=WARN",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container's user is root; 127.0.0.1 and the token remain
    return [*command, *options]


def lab_environment() -> dict[str, str]:
    """Return the environment JupyterLab starts in: our settings, and this Python first."""
    environ = dict(os.environ)
    here = str(Path(__file__).parent)
    scripts = str(Path(sys.executable).parent)
    before = environ.get("JUPYTER_CONFIG_PATH")
    environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([here, *([before] if before else [])])
    # A kernel named python3 of the user's own would otherwise come before this environment's.
    environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    # Terminals inside JupyterLab find the commands `loopclinic` and `python` of this environment.
    environ["PATH"] = os.pathsep.join([scripts, environ.get("PATH", os.defpath)])
    return environ
