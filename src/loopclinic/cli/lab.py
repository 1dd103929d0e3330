"""`loopclinic lab`: opens JupyterLab on the first notebook.

Settings come as overrides on JUPYTER_CONFIG_PATH, so a user's own JupyterLab settings still win.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from loopclinic.paths import kit_root, state_dir

PASSES_ON = True
FIRST = "notebooks/00_start_here.ipynb"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Any other option goes to JupyterLab, for example --no-browser --port 8899."


def run(args: argparse.Namespace) -> int:
    """Replace this process by JupyterLab; return only where it can't be replaced."""
    root = kit_root()
    command, environ = lab_command(root, args.rest), lab_environment()
    print("Opening JupyterLab. To stop it, press Ctrl-C twice in this window.", flush=True)
    os.chdir(root)
    if os.name == "posix":
        os.execve(command[0], command, environ)  # noqa: S606 - our own interpreter
    # Elsewhere exec starts a second process and gives the prompt back at once.
    return subprocess.call(command, env=environ)


def lab_command(root: Path, options: list[str]) -> list[str]:
    """Return the command line of JupyterLab for the kit at `root`; `options` win over ours.

    ModuleNotFoundError if JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ModuleNotFoundError("No module named 'jupyterlab'", name="jupyterlab")
    page = "/start" if (root / FIRST).exists() else "/lab"
    ours: dict[tuple[str, ...], object] = {
        ("--ServerApp.root_dir", "--notebook-dir"): root,
        ("--ServerApp.ip", "--ip"): "127.0.0.1",
        # /start is the first notebook: see start_page.py.
        ("--ServerApp.jpserver_extensions",): {"loopclinic.cli.start_page": True},
        ("--LabApp.default_url", "--ServerApp.default_url"): page,
        # Tabs that were open in another project's JupyterLab stay there.
        ("--LabApp.workspaces_dir",): state_dir() / "lab-workspaces",
        # Without it every kernel warns that it is not encrypted.
        ("--KernelManager.transport_encryption",): "auto",
        ("--LabApp.check_for_updates_class",): "jupyterlab.NeverCheckForUpdate",
        ("--LabApp.news_url",): "None",
        ("--LabApp.extension_manager",): "readonly",
        ("--log-level", "--ServerApp.log_level", "--LabApp.log_level", "--debug"): "WARN",
    }
    given = {option.split("=")[0] for option in options}
    if os.name == "posix":
        # A login shell, Jupyter's default without a terminal, resets PATH: it would not find `loopclinic`.
        shell = os.environ.get("SHELL") or "/bin/sh"
        ours["--ServerApp.terminado_settings",] = {"shell_command": [shell]}
    # Jupyter refuses an option that is given twice, so ours give way.
    settings = [f"{names[0]}={value}" for names, value in ours.items() if not given & {*names}]
    command = [sys.executable, "-m", "jupyterlab", *settings]
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
