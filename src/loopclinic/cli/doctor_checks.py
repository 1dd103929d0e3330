"""Checks that `loopclinic doctor` runs: one function each, which returns one finding.

A new server of the kit is examined because it stands in `loopclinic.servers.SERVICES`; anything
else that can be missing on a learner's computer gets a function here and a line in `EXAMINATIONS`.
"""

import asyncio
import importlib.util
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from loopclinic.paths import KitNotFoundError, kit_root, state_dir
from loopclinic.tried_pythons import untried

INSTALL = "pip install 'loopclinic[kit]', or make setup in a clone."
FREE_BYTES = 500_000_000
JUPYTER_PORT = 8888


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report: a note is information, a to-do comes with its repair."""

    name: str
    state: Literal["ok", "note", "to-do"]
    detail: str
    repair: str = ""


def examine_python() -> Finding:
    """Check whether the kit was tried on this Python."""
    detail = f"{platform.python_version()} at {sys.executable}"
    difference = untried()
    if difference:
        return Finding("python", "note", f"{detail}; untried: {difference}")
    return Finding("python", "ok", detail)


def examine_platform() -> Finding:
    """Name the operating system, and say where the kit is untried."""
    detail = f"{platform.platform()}, {os.cpu_count()} cores"
    if sys.platform != "linux":
        return Finding("platform", "note", f"{detail}; tried on Linux only")
    return Finding("platform", "ok", detail)


def examine_packages() -> Finding:
    """Check whether the packages that the kit requires are installed, in versions that fit."""
    try:
        from packaging.requirements import Requirement  # not in the light install
    except ModuleNotFoundError:
        return Finding("packages", "to-do", "only the tools are installed", INSTALL)
    missing, many = [], 0
    for line in metadata.requires("loopclinic") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": "kit"}):
            continue
        many += 1
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{wanted.name} is missing")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            missing.append(f"{wanted.name} is {version}, but {wanted.specifier} is required")
    if missing:
        return Finding("packages", "to-do", "; ".join(missing), INSTALL)
    return Finding("packages", "ok", f"all {many} that the kit requires")


def examine_kit() -> Finding:
    """Check whether there is a kit folder with labs and notebooks."""
    try:
        return Finding("kit", "ok", str(kit_root()))
    except KitNotFoundError as error:
        return Finding("kit", "to-do", "not found", str(error))


def examine_kernel() -> Finding:
    """Check whether a kernel starts in this environment and runs a line."""
    if importlib.util.find_spec("ipykernel") is None:
        return Finding("kernel", "to-do", "ipykernel is missing", INSTALL)
    began = time.perf_counter()
    # loopclinic: ignore[loop-per-call] the only one of this command
    prefix = asyncio.run(_prefix_of_a_kernel())
    if Path(prefix) != Path(sys.prefix):
        detail = f"kernel python3 runs in {prefix!r}, not in {sys.prefix}"
        return Finding("kernel", "to-do", detail, "python -m ipykernel install --sys-prefix")
    return Finding("kernel", "ok", f"starts and runs a line in {time.perf_counter() - began:.1f} s")


async def _prefix_of_a_kernel() -> str:
    from jupyter_client.manager import start_new_async_kernel  # slow, and kit only

    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # as `loopclinic lab` does
    manager, client = await start_new_async_kernel(startup_timeout=30, stderr=subprocess.DEVNULL)
    printed: list[str] = []

    def keep(message: dict[str, dict[str, str]]) -> None:
        printed.append(message["content"].get("text", ""))

    try:
        line = "import sys; print(sys.prefix, end='')"
        await client.execute_interactive(line, output_hook=keep, timeout=30)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return "".join(printed)


def examine_widgets() -> Finding:
    """Check whether both halves of the widgets are installed: in Python and in JupyterLab."""
    folder = Path(sys.prefix) / "share" / "jupyter" / "labextensions"
    missing = [
        name
        for name in ("anywidget", "@jupyter-widgets/jupyterlab-manager")
        if not (folder / name / "package.json").exists()
    ]
    if missing:
        return Finding("widgets", "to-do", f"JupyterLab lacks {' and '.join(missing)}", INSTALL)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("anywidget", "ipywidgets"))
    return Finding("widgets", "ok", versions)


def examine_comms() -> Finding:
    """Name JupyterLab's setting that decides on which thread a widget's events arrive."""
    usual = Path.home() / ".jupyter/lab/user-settings"
    settings = Path(os.environ.get("JUPYTERLAB_SETTINGS_DIR") or usual)
    file = settings / "@jupyterlab" / "apputils-extension" / "kernels-settings.jupyterlab-settings"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        text = ""
    chosen = re.search(r'^\s*"commsOverSubshells"\s*:\s*"(\w+)"', text, flags=re.MULTILINE)
    detail = chosen[1] if chosen else "perCommTarget, JupyterLab's default"
    return Finding("commsOverSubshells", "ok", f"{detail} (any value works)")


def examine_loopback() -> Finding:
    """Check whether a program can connect to itself over 127.0.0.1."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            with socket.create_connection(address, timeout=2) as client:
                peer, _ = server.accept()
                with peer:
                    client.sendall(b"?")
                    peer.settimeout(2)
                    peer.recv(1)
    except OSError as error:
        repair = "allow Python to use 127.0.0.1 in the firewall or sandbox."
        return Finding("127.0.0.1", "to-do", f"cannot connect to 127.0.0.1: {error}", repair)
    return Finding("127.0.0.1", "ok", "connections to this computer itself work")


def examine_port() -> Finding:
    """Check whether JupyterLab's usual port is free."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", JUPYTER_PORT)) == 0:
            detail = f"{JUPYTER_PORT} is taken: JupyterLab will take the next free one"
            return Finding("port", "note", detail)
    return Finding("port", "ok", f"{JUPYTER_PORT} is free")


def examine_state() -> Finding:
    """Check whether progress can be saved."""
    if importlib.util.find_spec("platformdirs") is None and not os.environ.get("LOOPCLINIC_HOME"):
        return Finding("state", "note", "the tools alone keep no progress")
    try:
        folder = state_dir()
        trial = folder / f".doctor-{os.getpid()}"
        trial.write_text("x", encoding="utf-8")
        trial.unlink()
    except OSError as error:
        repair = "set LOOPCLINIC_HOME to a folder you may write to."
        return Finding("state", "to-do", f"progress can't be saved: {error}", repair)
    return Finding("state", "ok", str(folder))


def examine_disk() -> Finding:
    """Check whether the disk has space for what labs and pictures write."""
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return Finding("disk", "to-do", detail, "free some space: the kit needs 0.5 GB.")
    return Finding("disk", "ok", detail)


def examine_browser() -> Finding:
    """Check whether there is a Chromium for the kit's own browser tests; learners need none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found:
        return Finding("chromium", "ok", f"{found} (for the kit's own browser tests)")
    return Finding("chromium", "note", "not found; only the kit's own browser tests need it")


def examine_witness() -> Finding:
    """Check whether the line of a call that keeps the GIL can be named while it lasts."""
    from loopclinic.probe.witness import Witness  # starts asyncio

    refusal = Witness.refusal()
    if refusal is not None:
        return Finding("held GIL", "note", f"calls that hold it are named at their end: {refusal}")
    return Finding("held GIL", "ok", "calls that hold it are named while they last")


def examine_service(name: str) -> Finding:
    """Check whether a server of the kit starts and ends."""
    from loopclinic.servers import SERVICES, ServerError  # needs the kit's packages

    began = time.perf_counter()
    try:
        with SERVICES[name]() as address:
            seconds = time.perf_counter() - began
    except ServerError as error:
        sentence, _, repair = str(error).partition(": ")
        return Finding(name, "to-do", sentence, repair)
    shown = re.sub(r"//([^:/@]*):[^@]*@", r"//\1@", address)  # reports are pasted into mails
    return Finding(name, "ok", f"started in {seconds:.1f} s at {shown}, and ended")


def examine_jupyterlab() -> Finding:
    """Check whether JupyterLab answers with its page."""
    from loopclinic.cli.lab import lab_command, lab_environment  # kit only

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    token = secrets.token_hex(16)
    options = ["--no-browser", f"--port={port}", f"--IdentityProvider.token={token}"]
    command = lab_command(kit_root(), options)
    began = time.perf_counter()
    page = f"http://127.0.0.1:{port}/lab?token={token}"
    env, null = lab_environment(), subprocess.DEVNULL
    with subprocess.Popen(command, env=env, stdout=null, stderr=null) as process:
        try:
            while process.poll() is None and time.perf_counter() - began < 60:
                try:
                    with urllib.request.urlopen(page, timeout=5) as answer:
                        answer.read(1)
                    seconds = time.perf_counter() - began
                    return Finding("jupyterlab", "ok", f"answered after {seconds:.1f} s")
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
        finally:
            process.terminate()
    repair = "run loopclinic lab --no-browser and read its last lines."
    return Finding("jupyterlab", "to-do", "did not answer within 60 s", repair)


def examine_bot_api() -> Finding:
    """Check whether lesson 11's bot reaches the Bot API server that the kit brings."""
    from loopclinic.lessons.task_lifetimes.story import bot_at_work  # kit only, and slow to import

    async def name() -> str:
        async with bot_at_work() as (app, _):
            return str(app.bot.username)

    began = time.perf_counter()
    # loopclinic: ignore[loop-per-call] the doctor asks once
    said = asyncio.run(name())
    return Finding("bot api", "ok", f"{said} answered after {time.perf_counter() - began:.1f} s")


def _services() -> dict[str, Callable[[], Finding]]:
    if importlib.util.find_spec("aiohttp") is None:
        return {}  # the light install: `packages` says so
    from loopclinic.servers import SERVICES  # needs the kit's packages

    return {name: lambda name=name: examine_service(name) for name in SERVICES}  # type: ignore[misc]


EXAMINATIONS: dict[str, Callable[[], Finding]] = {
    "python": examine_python,
    "platform": examine_platform,
    "packages": examine_packages,
    "kit": examine_kit,
    "kernel": examine_kernel,
    "widgets": examine_widgets,
    "commsOverSubshells": examine_comms,
    "127.0.0.1": examine_loopback,
    "port": examine_port,
    "state": examine_state,
    "disk": examine_disk,
    "held GIL": examine_witness,
    **_services(),
    "chromium": examine_browser,
}
"""Name -> examination, in the order of the report."""

DEEP: dict[str, Callable[[], Finding]] = {
    "jupyterlab": examine_jupyterlab,
    "bot api": examine_bot_api,
}
"""What takes seconds: only on request."""
