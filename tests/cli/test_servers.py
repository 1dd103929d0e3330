"""`loopclinic servers`: up, status and down."""

import json

import pytest

from loopclinic.cli.main import main
from loopclinic.servers.postgres import down, postgres


@pytest.fixture(autouse=True)
def _ended():
    yield
    down(force=True)


@pytest.mark.prove
def test_up_status_down(capsys):
    assert main(["servers"]) == 0
    assert "No PostgreSQL is running" in capsys.readouterr().out
    with postgres("looked at"):
        assert main(["servers"]) == 0
        assert "owner      looked at, process" in capsys.readouterr().out
    assert main(["servers", "up"]) == 0
    address = capsys.readouterr().out.partition("DATABASE_URL=")[2].strip()
    assert address.startswith("postgresql://learner:")
    assert main(["servers", "up", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["address"] == address
    with postgres("looked at"):
        assert main(["servers", "status"]) == 0
        printed = capsys.readouterr().out
        assert "owner      servers up" in printed
        assert "loopclinic_looked_at_" in printed
        assert main(["servers", "status", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["servers"]
        assert found["bytes"] > 1e7
        assert "password" not in found
        assert main(["servers", "down"]) == 1
        assert "still in use by loopclinic_looked_at_" in capsys.readouterr().out
    assert main(["servers", "down"]) == 0
    assert "PostgreSQL has stopped" in capsys.readouterr().out
    assert main(["servers", "down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ended": False, "in_use": []}


def test_a_server_of_the_user_s_is_left_alone(capsys, monkeypatch):
    with postgres("theirs") as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        assert main(["servers", "up"]) == 0
        assert "Nothing to start: DATABASE_URL names" in capsys.readouterr().out
        assert main(["servers"]) == 0
        assert "which DATABASE_URL names" in capsys.readouterr().out
        assert main(["servers", "down"]) == 0
        assert "was left alone" in capsys.readouterr().err
        monkeypatch.delenv("DATABASE_URL")


def test_an_address_that_leads_nowhere_exits_with_two(capsys, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x")
    assert main(["servers", "up"]) == 2
    said = capsys.readouterr().err
    assert "start that server" in said
    assert "secret" not in said
