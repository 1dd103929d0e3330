"""`loopclinic lab`: how JupyterLab is started, and what a newcomer sees first."""

import ast
import json
import logging
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

from loopclinic.cli import lab, start_page
from loopclinic.paths import kit_root

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


def test_a_terminal_in_the_lab_finds_the_command(monkeypatch):
    """A login shell resets PATH. A shell that JupyterLab would start is started here."""
    monkeypatch.setenv("SHELL", "/bin/bash")
    prefix = "--ServerApp.terminado_settings="
    words = lab.lab_command(kit_root(), [])
    setting = next(word.removeprefix(prefix) for word in words if word.startswith(prefix))
    shell = ast.literal_eval(setting)["shell_command"]
    found = subprocess.run(
        [*shell, "-c", "command -v loopclinic"],
        env=lab.lab_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == Path(sys.executable).parent / "loopclinic"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("Notebook notebooks/00_start_here.ipynb is not trusted", False),
        ("The websocket_ping_timeout (90000) cannot be longer than the interval", False),
        ("Kernel died", True),
    ],
)
def test_warnings_of_other_projects_are_not_shown(words, kept):
    record = logging.LogRecord("ServerApp", logging.WARNING, "", 0, words, None, None)
    assert start_page.is_ours(record) is kept


def test_the_first_page_begins_with_the_file_browser_closed_and_keeps_what_was_arranged(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path))
    start_page._begin_closed()
    (file,) = (tmp_path / "lab-workspaces").iterdir()
    layout = json.loads(file.read_text())["data"]["layout-restorer:data"]
    assert layout["left"]["collapsed"] is True
    file.write_text(file.read_text().replace("true", "false"))
    start_page._begin_closed()
    assert "true" not in file.read_text()


def test_every_overridden_setting_exists_in_this_jupyterlab():
    share = Path(sys.prefix) / "share" / "jupyter"
    for plugin, settings in json.loads(SETTINGS.read_text(encoding="utf-8")).items():
        package, name = plugin.split(":")
        file = f"schemas/{package}/{name}.json"
        (found,) = (
            path
            for path in (share / "lab" / file, share / "labextensions" / package / file)
            if path.exists()
        )
        schema = json.loads(found.read_text(encoding="utf-8"))
        assert set(settings) <= set(schema["properties"]), plugin


def get(address):
    # The redirect from /start counts on the cookie that the token was changed for.
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(address, timeout=10) as answer:
        return answer.status, answer.url, answer.read().decode()


def wait_for_listener(port):
    """Wait until JupyterLab accepts connections; it may print its address a moment before."""
    for _ in range(100):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


@pytest.mark.prove
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
            assert landed.endswith("/lab/tree/notebooks/00_start_here.ipynb")
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
