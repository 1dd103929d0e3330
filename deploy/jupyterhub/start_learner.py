"""A learner's server: lays the kit out in their home or updates it, then starts JupyterLab under the hub.

Arguments go to jupyterhub-singleuser. LOOPCLINIC_FOLDER is the kit's folder, else `loopclinic` at home.
"""

import os
import subprocess
import sys
from pathlib import Path

from loopclinic.cli.lab import FIRST, lab_environment


def main() -> None:
    """Replace this process by the learner's server."""
    os.umask(0o077)
    home = Path.home()
    if (
        home.stat().st_uid == os.getuid()
    ):  # a volume's root is not the learner's, and nobody else's home is there
        home.chmod(0o700)
    folder = Path(os.environ.get("LOOPCLINIC_FOLDER") or home / "loopclinic")
    kit = [sys.executable, "-m", "loopclinic"]
    if (folder / "notebooks").is_dir():
        # An update that fails leaves the kit as it was, and the learner's server starts with that.
        subprocess.run([*kit, "update"], cwd=folder, check=False)
    else:
        subprocess.run([*kit, "init", str(folder)], check=True)
    if os.environ.get("LOOPCLINIC_ROOM"):
        # Ends with this process, which becomes the server; its few words go to the server's log.
        subprocess.Popen([*kit, "join"], cwd=folder, start_new_session=True)
    os.chdir(folder)
    settings = {
        "ServerApp.root_dir": folder,
        "ServerApp.default_url": f"/lab/tree/{FIRST}",
        "KernelManager.transport_encryption": "auto",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "None",
        "LabApp.extension_manager": "readonly",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "jupyterhub.singleuser", *options, *sys.argv[1:]]
    os.execve(command[0], command, lab_environment())  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main()
