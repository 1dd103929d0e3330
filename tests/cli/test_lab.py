"""JupyterLab as a newcomer meets it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from loopclinic.cli import lab
from loopclinic.places import kit_root

SETTINGS = Path(lab.__file__).parent / "labconfig" / "default_setting_overrides.json"


def test_options_are_passed_on():
    command = lab.lab_command(kit_root(), ["--no-browser", "--port", "8899"])
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert command[-3:] == ["--no-browser", "--port", "8899"]
    assert "--ServerApp.ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={kit_root()}" in command
    assert not [word for word in command if "token" in word or "password" in word]


@pytest.mark.parametrize("option", ["--ip=127.0.0.2", "--log-level=INFO", "--LabApp.news_url=x"])
def test_an_option_replaces_ours(option):
    command = lab.lab_command(kit_root(), [option])
    assert len(lab.lab_command(kit_root(), [])) == len(command)
    assert option in command


@pytest.mark.parametrize(("user", "expected"), [(0, True), (1000, False)])
def test_root_is_let_in_and_nobody_else_asks(monkeypatch, user, expected):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    assert ("--allow-root" in lab.lab_command(kit_root(), [])) is expected


def test_a_kit_without_the_first_notebook_still_opens(tmp_path):
    assert "--LabApp.default_url=/lab" in lab.lab_command(tmp_path, [])


def test_the_users_own_configuration_stays(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/etc/theirs")
    environ = lab.lab_environment()
    assert environ["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [
        str(SETTINGS.parents[1]),
        "/etc/theirs",
    ]
    assert environ["JUPYTER_PREFER_ENV_PATH"] == "1"


def test_every_overridden_setting_exists_in_this_jupyterlab():
    schemas = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas"
    for plugin, settings in json.loads(SETTINGS.read_text(encoding="utf-8")).items():
        package, name = plugin.split(":")
        schema = json.loads((schemas / package / f"{name}.json").read_text(encoding="utf-8"))
        assert set(settings) <= set(schema["properties"]), plugin


def get(address):
    # The redirect from /start counts on the cookie that the token was changed for.
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address, timeout=10) as answer:
        return answer.status, answer.url, answer.read().decode()


def wait_for_listener(port):
    """JupyterLab may print its address a moment before it listens there."""
    for _ in range(100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


@pytest.mark.slow
def test_jupyterlab_answers_although_the_port_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "loopclinic", "lab", "--no-browser", f"--port={port}"],
            cwd=kit_root(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        stop = threading.Timer(60, process.kill)
        stop.start()
        try:
            lines = iter(process.stdout.readline, "")
            address = next(line.strip() for line in lines if "http://127.0.0.1:" in line)
            base, token = address.split("/start")[0], address.split("token=")[1]
            assert not base.endswith(f":{port}")
            wait_for_listener(int(base.rpartition(":")[2]))
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(f"{base}/api/contents?content=0")
            assert refused.value.code == 403  # the token stays on
            refused.value.close()
            status, landed, page = get(address)
            assert status == 200
            path, _, query = landed.partition("?")
            assert path.endswith("/lab/tree/notebooks/00_start_here.ipynb")
            assert query == "file-browser-path=/"
            assert "<title>JupyterLab</title>" in page
            _, _, answer = get(f"{base}/lab/api/settings?token={token}")
            chosen = {one["id"]: one for one in json.loads(answer)["settings"]}
            news = chosen["@jupyterlab/apputils-extension:notification"]["schema"]["properties"]
            assert news["fetchNews"]["default"] == "false"
            assert news["checkForUpdates"]["default"] is False
            theme = chosen["@jupyterlab/apputils-extension:themes"]["schema"]["properties"]
            assert theme["adaptive-theme"]["default"] is True
            _, _, answer = get(f"{base}/api/contents?content=1&token={token}")
            assert {"labs", "notebooks"} <= {one["name"] for one in json.loads(answer)["content"]}
            _, _, answer = get(f"{base}/api/kernelspecs?token={token}")
            assert "python3" in json.loads(answer)["kernelspecs"]
        finally:
            stop.cancel()
            process.terminate()
            process.wait(10)
            process.stdout.close()
