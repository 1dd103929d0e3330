"""Valkey: which server is used, its password, and its end with its owner."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import redis

from loopclinic.servers import SERVICES, ServerError, valkey

OWNER = """
import sys
from loopclinic.servers.valkey import valkey
with valkey() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.delenv(valkey.VARIABLE, raising=False)


def test_it_answers_with_the_password_and_to_nobody_without():
    began = time.monotonic()
    with SERVICES["valkey"]() as url, redis.Redis.from_url(url) as client:
        assert client.incr("a") == 1
        assert client.config_get("save")["save"] == ""
        port = client.connection_pool.connection_kwargs["port"]
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=port) as stranger:
            stranger.ping()
    assert time.monotonic() - began < 30
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_it_ends_with_its_owner_however_that_ends():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline().startswith("redis://:")
        children = psutil.Process(owner.pid).children(recursive=True)
        assert len(children) >= 2
        assert not any("requirepass" in word for one in children for word in one.cmdline())
        os.kill(owner.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_an_address_in_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv(valkey.VARIABLE, "redis://example:1/2")
    with valkey.valkey() as url:
        assert url == "redis://example:1/2"


def test_where_there_is_none_the_error_names_the_repair(monkeypatch):
    monkeypatch.setattr(valkey.shutil, "which", lambda name: None)
    monkeypatch.setattr(valkey.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerError, match="install valkey-server or redis-server"):
        valkey.binary()


def test_one_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr(valkey, "binary", lambda: sys.executable)
    with pytest.raises(ServerError, match="Valkey does not start"), valkey.valkey():
        pass
