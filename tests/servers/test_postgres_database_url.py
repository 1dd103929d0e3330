"""Databases on a server that DATABASE_URL names; the tests start one for this."""

import asyncpg
import psycopg
import pytest

from loopclinic.lessons.database.sessions import SessionMonitor, named
from loopclinic.servers.postgres import ServerError, postgres, status
from loopclinic.servers.postgres.database_url import (
    normalized,
    redacted,
    with_database,
    with_schema,
)
from loopclinic.servers.postgres.server import ADMIN, DATABASE, Server, address


class Foreign:
    """A server with an administrator, and a database `app` with users of several rights."""

    def __init__(self, note: dict) -> None:
        self.port = note["port"]
        self.admin = address(note, ADMIN)

    def of(self, user: str, database: str = "app", password: str = "secret") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = DATABASE) -> list:
        with psycopg.connect(with_database(self.admin, database), autocommit=True) as connection:
            for one in statements:
                cursor = connection.execute(one)
            return cursor.fetchall() if cursor.description else []

    def ours(self) -> list[str]:
        found = self.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'loopclinic%'"
            f" AND datname <> '{DATABASE}'"
        )
        found += self.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'loopclinic%'", database="app"
        )
        return [name for (name,) in found]


@pytest.fixture(scope="module")
def server(session_postgres):
    one = Server("a server of the user's")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOPCLINIC_HOME", str(session_postgres.parent))
        one.start()
    foreign = Foreign(one.note)
    foreign.execute(
        *(f"CREATE DATABASE template{one} TEMPLATE {DATABASE} IS_TEMPLATE true" for one in (0, 1)),
        "CREATE ROLE maker LOGIN CREATEDB PASSWORD 'secret'",
        "CREATE ROLE modest LOGIN PASSWORD 'secret'",
        "CREATE ROLE reader LOGIN PASSWORD 'secret'",
        "CREATE ROLE timid LOGIN CREATEDB PASSWORD 'secret'",
        "ALTER ROLE timid SET default_transaction_read_only = on",
        "CREATE DATABASE app",
        "GRANT CREATE ON DATABASE app TO modest",
    )
    yield foreign
    one.close()


@pytest.fixture
def use(monkeypatch):
    def set_address(value: str) -> None:
        monkeypatch.setenv("DATABASE_URL", value)

    return set_address


async def check_both_drivers(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SELECT n FROM kept") == 7
    finally:
        await connection.close()


async def test_a_user_who_may_create_databases_gets_one(server, use):
    use(server.of("maker"))
    database = postgres()
    with database as dsn:
        assert database.kind == "database"
        assert server.ours() == [database.name]
        await check_both_drivers(dsn)
        assert status()["way"] == "address"
        assert [one["name"] for one in status()["databases"] if one["name"] != DATABASE] == [
            database.name
        ]
        assert "secret" not in str(status())
    assert server.ours() == []


async def test_a_user_who_may_not_gets_a_schema(server, use):
    use(server.of("modest"))
    database = postgres()
    with database as dsn:
        assert database.kind == "schema"
        assert server.ours() == [database.name]
        await check_both_drivers(dsn)
        lock = psycopg.connect(dsn)
        lock.execute("LOCK TABLE kept")
    assert server.ours() == []  # also under a lock that is held
    lock.close()


def test_a_user_who_may_nothing_is_told_what_to_grant(server, use):
    use(server.of("reader"))
    with pytest.raises(ServerError, match=r"grant it CREATE on the database.*unset DATABASE_URL"):
        postgres().start()


def test_a_read_only_database(server, use):
    use(server.of("timid"))
    with pytest.raises(ServerError, match="is read-only, and lessons write"):
        postgres().start()


def test_a_wrong_password_is_not_shown(server, use):
    use(server.of("maker", password="mistaken"))
    with pytest.raises(ServerError, match="correct the user and password") as caught:
        postgres().start()
    assert "mistaken" not in f"{caught.value} {caught.value.detail}"


def test_a_database_that_does_not_exist(server, use):
    use(server.of("maker", database="nowhere"))
    with pytest.raises(ServerError, match="does not exist: create it"):
        postgres().start()


def test_a_server_that_is_not_there(use):
    use("postgresql://me:secret@127.0.0.1:1/app")
    for start in (lambda: postgres().start(), status):
        with pytest.raises(
            ServerError, match=r"Nothing answers at postgresql://me@127.0.0.1:1/app"
        ):
            start()


def test_a_host_that_is_not_known(use):
    use("postgresql://me:secret@no.such.host.invalid/app")
    with pytest.raises(ServerError, match=r"is not known|Nothing answers"):
        postgres().start()


@pytest.mark.parametrize("value", ["mysql://me@host/x", "sqlite:///x.db", "what is this"])
def test_an_address_of_something_else(use, value):
    use(value)
    with pytest.raises(ServerError, match=r"not PostgreSQL: set it to postgresql://.*or unset"):
        postgres().start()


def test_no_connection_left(server, use):
    server.execute("ALTER ROLE maker CONNECTION LIMIT 0")
    try:
        use(server.of("maker"))
        with pytest.raises(ServerError, match="no connection left"):
            postgres().start()
    finally:
        server.execute("ALTER ROLE maker CONNECTION LIMIT -1")


def test_what_a_killed_process_left_is_dropped_by_the_next(server, use, holder):
    dead, alive = [], []
    for user in ("maker", "modest"):
        use(server.of(user))
        one = holder()
        dead.append(one)
        assert one.stdout.readline()
    use(server.of("maker"))
    one = holder()
    alive.append(one)
    name = psycopg.conninfo.conninfo_to_dict(one.stdout.readline().strip())["dbname"]
    for one in dead:
        one.kill()
        one.wait()
    assert len(server.ours()) == 3
    for user in ("maker", "modest"):
        use(server.of(user))
        with postgres() as dsn:
            assert dsn
    assert server.ours() == [name]
    alive[0].stdin.close()
    alive[0].wait()
    use(server.of("maker"))
    postgres().start().close()
    assert server.ours() == []


def test_the_server_s_restart_is_survived_by_the_end(server, use):
    use(server.of("maker"))
    database = postgres().start()
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'maker'")
    database.close()
    assert server.ours() == []


def test_its_own_server_is_not_started_for_it(server, use, tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path))
    use(server.of("maker"))
    with postgres():
        assert not (tmp_path / "postgres").exists()


def test_a_server_of_the_kit_s_own_gives_a_schema_whose_sessions_are_told_apart(use):
    with postgres() as own, psycopg.connect(own):
        use(own)
        with (
            postgres() as dsn,
            SessionMonitor(dsn, "kit", unnamed=True) as monitor,
            psycopg.connect(named(dsn, "mine")),
        ):
            assert psycopg.conninfo.conninfo_to_dict(dsn)["dbname"] == DATABASE
            assert monitor.count("mine").open == 1  # and not the stranger, who has no name


def test_other_spellings_of_an_address():
    assert normalized("postgresql+asyncpg://u:p@h/d") == "postgresql://u:p@h/d"
    words = normalized("host=/var/run/postgresql dbname=d user=u password='a b&c'")
    assert psycopg.conninfo.conninfo_to_dict(words) == {
        "host": "/var/run/postgresql", "dbname": "d", "user": "u", "password": "a b&c",
    }  # fmt: skip
    assert with_database("postgres://u:p@h:1,i:2/d?sslmode=require&dbname=e", "x") == (
        "postgresql://u:p@h:1,i:2/x?sslmode=require"
    )
    assert normalized("postgres://u@[::1]:5/d") == "postgresql://u@[::1]:5/d"
    assert normalized("host=a,b port=5 dbname=d") == "postgresql://a:5,b:5/d"
    searched = with_schema("postgres://h/d?options=-cjit%3Doff", "s")
    assert psycopg.conninfo.conninfo_to_dict(searched)["options"] == "-cjit=off -csearch_path=s"
    assert (
        redacted("postgres://u:p%40q@h/d?password=p&sslmode=allow")
        == "postgresql://u@h/d?sslmode=allow"
    )
