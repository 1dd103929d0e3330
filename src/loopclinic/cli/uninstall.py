"""`loopclinic uninstall`: stops the kit's servers and removes its files outside its own folder."""

import argparse
import shutil
from contextlib import suppress
from pathlib import Path

from loopclinic.cli.arguments import agreed, refuse
from loopclinic.paths import KitNotFoundError, kit_root, state_dir

SERVERS = "loopclinic.servers"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Say what would go, ask, remove it, and say what was removed."""
    doomed = [(what, folder) for what, folder in _folders() if folder.exists()]
    for _, folder in doomed:
        if reason := precious(folder):
            step = "Delete only loopclinic's own files in it, and let LOOPCLINIC_HOME name a folder of its own."
            return refuse(f"Nothing was removed, because {folder} {reason}. {step}")
    servers = running_servers()
    if not doomed and not servers:
        print("Nothing to remove: no state, no cache, no server.")
        return _farewell()
    for what, folder in doomed:
        print(f"{what}: {folder} ({size(folder) / 1e6:.1f} MB)")
    if servers:
        print(f"servers running: {len(servers)}")
    if not args.yes and not agreed("Remove all of this?"):
        print("Nothing was removed.")
        return 1
    from loopclinic.servers.postgres import ServerError, remove  # kit only

    try:
        # First: servers still write while they end.
        for folder in remove():
            print(f"removed: {folder}, with PostgreSQL's data")
    except ServerError as error:
        return refuse(error)
    for pid in servers:
        if end(pid):
            print(f"stopped: server, process {pid}")
    for _, folder in doomed:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            return refuse(f"{folder} could not be removed completely: delete the rest by hand.")
        print(f"removed: {folder}")
    return _farewell()


def _folders() -> list[tuple[str, Path]]:
    import platformdirs  # the light install keeps nothing

    cache = Path(platformdirs.user_cache_dir("loopclinic", appauthor=False))
    return [("progress and backups of your labs", state_dir()), ("cache", cache)]


def precious(folder: Path) -> str:
    """Return what `folder` holds that must not be removed, or "": LOOPCLINIC_HOME may name anything."""
    inside = folder.resolve()
    treasures = {"your home folder": Path.home(), "the folder you are in": Path.cwd()}
    with suppress(KitNotFoundError):
        treasures["the kit"] = kit_root()
    for name, treasure in treasures.items():
        if treasure.resolve().is_relative_to(inside):
            return f"holds {name}"
    return "holds a git repository" if (inside / ".git").exists() else ""


def running_servers() -> list[int]:
    """Return the process ids of this user's servers of the kit."""
    import psutil  # kit only

    user = psutil.Process().username()
    found = []
    for process in psutil.process_iter(["cmdline", "username"]):
        line = process.info["cmdline"] or []
        python = bool({"-c", "-m"} & {*line[1:3]})
        ours = python and any(word.startswith(SERVERS) for word in line[2:6])
        if ours and process.info["username"] == user:
            found.append(process.pid)
    return found


def end(pid: int) -> bool:
    """End one server; False if it was gone already."""
    import psutil  # kit only

    try:
        process = psutil.Process(pid)
        process.terminate()
        try:
            process.wait(timeout=2)
        except psutil.TimeoutExpired:
            process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def size(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def _farewell() -> int:
    try:
        root = kit_root()
    except KitNotFoundError:
        print("Left in place: the package itself (pip uninstall loopclinic).")
        return 0
    rest = "with your labs and the environment. Delete that folder to remove everything."
    print(f"Left in place: {root}, {rest}")
    return 0
