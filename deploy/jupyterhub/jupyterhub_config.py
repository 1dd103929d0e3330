"""JupyterHub for a room on one server: `jupyterhub -f jupyterhub_config.py`, as root (see README.md).

LOOPCLINIC_PYTHON is the Python of the learners' servers, with the kit; this one unless set. ROOM_AT_ONCE is
how many checks run at once. ROOM_IDLE is the seconds after which a server nobody uses is ended.
"""

import importlib.util
import os
import resource
import shutil
import sys
from pathlib import Path

from jupyterhub.proxy import ConfigurableHTTPProxy
from jupyterhub.spawner import LocalProcessSpawner

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import room_accounts  # noqa: E402 - beside this file, which the hub executes

c = get_config()  # noqa: F821 - JupyterHub's

PYTHON = os.environ.get("LOOPCLINIC_PYTHON") or sys.executable
PORT = int(os.environ.get("ROOM_PORT") or 8000)
# A check takes a little more than one core, and the notebooks of the others want some, too.
AT_ONCE = int(os.environ.get("ROOM_AT_ONCE") or max(1, (os.cpu_count() or 1) // 2))
IDLE = int(os.environ.get("ROOM_IDLE") or 3600)
PROCESSES = 400
"""Processes and threads of one learner; a check may have 100 processes."""

# Who may come in: accounts of this machine, by their passwords. Name an admin to start servers for others.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.open_sessions = False
c.LocalAuthenticator.create_system_users = os.environ.get("ROOM_MAKES_ACCOUNTS") == "1"
c.Authenticator.allowed_users = set(os.environ.get("ROOM_LEARNERS", "").split())
c.Authenticator.admin_users = set(os.environ.get("ROOM_ADMINS", "").split())

# The proxy; only it is reached from outside. Give it a certificate here, or put a web server before it.
c.JupyterHub.bind_url = f"http://{os.environ.get('ROOM_HOST') or '127.0.0.1'}:{PORT}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORT + 1}"
c.JupyterHub.proxy_class = ConfigurableHTTPProxy
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 2}"
c.ConfigurableHTTPProxy.command = os.environ.get("ROOM_PROXY", "configurable-http-proxy").split()


class AccountSpawner(LocalProcessSpawner):
    """Starts a learner's server as their system account, where there is no systemd.

    The kernel holds each of its processes to `mem_limit` (memory that it asks for), and all of the account to
    PROCESSES. Only systemd, or a container, holds all of a learner's memory and CPU time.
    """

    def make_preexec_fn(self, name):  # noqa: ANN001, ANN201 - JupyterHub's
        """Set the limits, then become the learner."""
        become, memory = super().make_preexec_fn(name), self.mem_limit

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
            become()

        return limited


# The spawner: systemd holds a learner's memory, CPU time and processes with cgroups, as one.
if Path("/run/systemd/system").is_dir() and importlib.util.find_spec("systemdspawner"):
    c.JupyterHub.spawner_class = "systemd"
    c.SystemdSpawner.isolate_tmp = True
    c.SystemdSpawner.disable_user_sudo = True
    c.SystemdSpawner.unit_extra_properties = {"TasksMax": str(PROCESSES)}
else:
    c.JupyterHub.spawner_class = AccountSpawner
c.Spawner.mem_limit = "2G"
c.Spawner.cpu_limit = 2.0
c.Spawner.cmd = [PYTHON, str(HERE / "start_learner.py")]
c.Spawner.notebook_dir = ""
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300
c.Spawner.env_keep = ["PATH", "LANG", "LC_ALL"]
# A start takes three seconds of a core: more at once would only all be late.
c.JupyterHub.concurrent_spawn_limit = 2 * (os.cpu_count() or 1)

c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "services": ["culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }
]
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [
            *(sys.executable, "-m", "jupyterhub_idle_culler"),
            *(f"--timeout={IDLE}", f"--cull-every={max(5, min(300, IDLE // 4))}"),
        ],
    }
]
# Accounts for each learner, no more servers than PostgreSQL has connections for, queue for checks, live room.
QUEUE, ROOM = (f"http://127.0.0.1:{PORT + more}" for more in (3, 4))
room_accounts.configure(c, queue=QUEUE, at_once=AT_ONCE, room=ROOM, python=PYTHON)

# Secrets and the hub's own database: a folder that only root reads.
STATE = Path(os.environ.get("ROOM_STATE") or "/srv/loopclinic")
STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
STATE.chmod(0o700)
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")

if extra := os.environ.get("ROOM_CONFIG"):  # more settings, such as another authenticator
    load_subconfig(extra)  # noqa: F821 - JupyterHub's
if shutil.which(c.ConfigurableHTTPProxy.command[0]) is None:
    raise SystemExit("configurable-http-proxy is missing: npm install -g configurable-http-proxy")
