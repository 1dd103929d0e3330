"""`loopclinic servers`: start it, look at it, end it."""

import json

import pytest

from loopclinic.cli.main import main
from loopclinic.servers.postgres import database
from loopclinic.servers.postgres_status import down


@pytest.fixture(autouse=True)
def _ended():
    down(force=True)
    yield
    down(force=True)


def test_up_status_down(capsys):
    assert main(["servers"]) == 0
    assert "is not running" in capsys.readouterr().out
    assert main(["servers", "up"]) == 0
    assert "is up at postgresql://127.0.0.1:" in capsys.readouterr().out
    assert main(["servers", "up", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kept"] is True
    with database("looked at"):
        assert main(["servers", "status"]) == 0
        printed = capsys.readouterr().out
        assert "leases     1, and servers up" in printed
        assert "looked at, process" in printed
        assert "loopclinic_looked_at_" in printed
        assert main(["servers", "status", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["running"], len(found["leases"]), len(found["databases"])) == (True, 1, 1)
        assert found["bytes"] > 1e7
        assert "password" not in found
        assert main(["servers", "down"]) == 1
        assert "still used by looked at (process" in capsys.readouterr().out
    assert main(["servers", "down"]) == 0
    assert "PostgreSQL has ended" in capsys.readouterr().out
    assert main(["servers", "down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ended": False, "leases": []}
    assert main(["servers", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"running": False}


def test_a_server_of_the_user_s_is_left_alone(capsys, monkeypatch):
    main(["servers", "up", "--json"])
    found = json.loads(capsys.readouterr().out)
    with database("theirs") as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        assert main(["servers", "up"]) == 0
        printed = capsys.readouterr().out
        assert "Nothing to start: DATABASE_URL is set" in printed
        assert str(found["port"]) in printed
        assert main(["servers"]) == 0
        assert "the server that DATABASE_URL names" in capsys.readouterr().out
        monkeypatch.delenv("DATABASE_URL")


def test_an_address_that_leads_nowhere_exits_with_two(capsys, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x")
    assert main(["servers", "up"]) == 2
    said = capsys.readouterr().err
    assert "start that server" in said
    assert "secret" not in said
