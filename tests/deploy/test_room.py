"""The deployed room: accounts of learners, files for Kubernetes, and what a hostile learner tries."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from lockfile import MARK

import loopclinic
from loopclinic.checks import check
from loopclinic.lessons import lessons
from tests.alone import known

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "jupyterhub"
WITH_SERVERS = [one.number for one in lessons() if {"postgres", "valkey"} & set(one.services)]


def loaded(path):
    spec = importlib.util.spec_from_file_location(f"deployed_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def accounts():
    return loaded(DEPLOYED / "room_accounts.py")


# Names and passwords.


def test_accounts_of_different_learners_differ_and_fit_postgresql(accounts):
    names = ["ann", "Ann", "ann.b", "ann-b", "a" * 100, "a" * 101, "名前", "", "'; DROP ROLE x --"]
    made = [accounts.account(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(re.fullmatch(r"learner_[a-z0-9_]{1,55}", one) for one in made)


def test_a_password_needs_the_secret_and_stays_the_same(accounts, monkeypatch):
    monkeypatch.setenv("ROOM_SECRET", "x" * 31)
    with pytest.raises(RuntimeError, match="ROOM_SECRET to 32 characters"):
        accounts.password("ann")
    monkeypatch.setenv("ROOM_SECRET", "x" * 32)
    first = accounts.password("ann")
    assert first == accounts.password("ann") != accounts.password("bob")
    monkeypatch.setenv("ROOM_SECRET", "y" * 32)
    assert accounts.password("ann") != first


def test_without_the_rooms_servers_a_learner_gets_no_address(accounts, monkeypatch):
    for name in ("ROOM_DATABASE_URL", "ROOM_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    assert accounts.environment("ann", 1) == {}
    assert accounts.most_learners() == 0


# Queue and live room, as services of the hub.


@pytest.mark.parametrize("room", ["", "http://127.0.0.1:8004"])
async def test_a_learners_server_may_reach_the_services_and_knows_where_they_are(
    accounts, room, monkeypatch
):
    for name in ("ROOM_DATABASE_URL", "ROOM_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    hub, learner = SimpleNamespace(services=[], load_roles=[]), SimpleNamespace(name="ann", id=1)
    admins = SimpleNamespace(admin_users={"kim"})
    c = SimpleNamespace(JupyterHub=hub, Spawner=SimpleNamespace(), Authenticator=admins)
    accounts.configure(c, queue="http://127.0.0.1:8003", at_once=2, room=room, python="/opt/python")
    spawner = SimpleNamespace(user=learner, environment={"KEPT": "1"})
    await c.Spawner.pre_spawn_hook(spawner)
    given = {"KEPT": "1", "LOOPCLINIC_QUEUE": "http://127.0.0.1:8003/services/checks/"}
    live = {"LOOPCLINIC_ROOM": f"{room}/services/room"} if room else {}
    assert spawner.environment == given | live
    opened = {f"access:services!service={one['name']}" for one in hub.services}
    assert len(opened) == 1 + bool(room)
    for scopes in (hub.load_roles[0]["scopes"], c.Spawner.server_token_scopes):
        assert opened <= {*scopes}
        assert len([one for one in scopes if "services" in one]) == len(opened)
    if room:
        served = hub.services[-1]
        assert (served["user"], served["environment"]) == ("nobody", {"ROOM_ADMINS": "kim"})
        assert served["command"][1:] == [
            "-m",
            "loopclinic",
            "room",
            "--host=127.0.0.1",
            "--port=8004",
        ]


# What stands in several files.


def test_files_for_kubernetes_agree_with_each_other_and_with_the_kit(accounts):
    folder = DEPLOYED / "kubernetes"
    text = (folder / "values.yaml").read_text()
    values, docker = yaml.safe_load(text), (folder / "Dockerfile").read_text()
    chart = re.search(r"ARG CHART=([\d.]+)", docker)[1]
    assert f"--version {chart}" in text
    tags = {str(values[part]["image"]["tag"]) for part in ("hub", "singleuser")}
    assert tags == {loopclinic.__version__}
    assert loopclinic.__version__ in docker
    compile(values["hub"]["extraConfig"]["room"], "extraConfig", "exec")
    for path in re.findall(r"deploy/jupyterhub/\w+\.py", docker):
        assert (ROOT / path).is_file()
    pinned = (DEPLOYED / "requirements.txt").read_text()
    assert [one for one in re.findall(r"'([^']+==[^']+)'", docker) if one not in pinned] == []
    assert f"sed '/^{MARK}/,$d'" in docker
    servers = (folder / "servers.yaml").read_text()
    learners = int(re.search(r"room of (\d+)", servers)[1])
    most = int(re.search(r"max_connections=(\d+)", servers)[1])
    assert most == learners * accounts.CONNECTIONS + accounts.RESERVED


def test_the_hub_is_no_dependency_of_the_kit():
    assert "jupyterhub" not in (ROOT / "pyproject.toml").read_text()
    lines = (DEPLOYED / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[\w\[\]-]+==[\d.]+", line) for line in lines)


# With the servers of a room.


@pytest.fixture(scope="module")
def servers(accounts):
    """A learner's addresses at a room's PostgreSQL and Valkey."""
    room = loaded(ROOT / "benchmarks" / "room_hub.py")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        folder = Path(tempfile.mkdtemp(prefix="loopclinic-test-room-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)
        patch.setenv("ROOM_SECRET", "x" * 32)
        patch.setenv("ROOM_DATABASE_URL", stack.enter_context(room.postgres_of_room(folder, 2)))
        patch.setenv("ROOM_REDIS_URL", stack.enter_context(room.valkey_of_room(folder)))
        assert accounts.most_learners() == 2
        made = accounts.environment("ann", 1)
        assert accounts.environment("ann", 1) == made  # the next start of her server
        yield made


@pytest.mark.prove
@pytest.mark.parametrize("number", WITH_SERVERS)
def test_a_learners_accounts_suffice_for_the_labs(servers, monkeypatch, number):
    for name, value in servers.items():
        monkeypatch.setenv(name, value)
    verdict = known(check(number, solution=True, say=lambda _: None))
    assert verdict.passed, verdict


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_hostile_learner_is_refused(tmp_path):
    """On a hub of its own, whose Python LOOPCLINIC_HUB_PYTHON names: benchmarks/room.py says what it needs."""
    python = os.environ.get("LOOPCLINIC_HUB_PYTHON", "")
    if not python or os.geteuid() != 0 or not shutil.which("configurable-http-proxy"):
        pytest.skip(
            "needs root, configurable-http-proxy on PATH and LOOPCLINIC_HUB_PYTHON, the Python of an "
            "environment with the kit and deploy/jupyterhub/requirements.txt"
        )
    kept = tmp_path / "room.json"
    command = [python, str(ROOT / "benchmarks" / "room.py"), "--hostile", "--json", str(kept)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    refused = json.loads(kept.read_text())["learners"][0]["refused"]
    assert len(refused) > 20
    assert all(refused.values())
