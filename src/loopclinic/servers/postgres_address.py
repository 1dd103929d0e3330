"""The address in DATABASE_URL: read, pointed elsewhere on its server, its errors explained."""

import re
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from loopclinic.servers.postgres_database import VARIABLE
from loopclinic.servers.process import ServerError

__all__ = ["VARIABLE", "explain", "normalized", "redacted", "with_database", "with_schema"]

_OWN = f"or unset {VARIABLE} to use the kit's own server"


def normalized(address: str) -> str:
    """Return the address as a URL that psycopg and asyncpg read.

    Raises:
        ServerError: it is not an address of PostgreSQL.
    """
    # SQLAlchemy's way to name a driver.
    address = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", address)
    try:
        found = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        scheme = address.partition("://")[0] if "://" in address else "not an address"
        raise ServerError(
            f"{VARIABLE} is {scheme}, not PostgreSQL: set it to postgresql://user:password@host/database, "
            f"{_OWN}."
        ) from None
    if "://" in address:
        return address
    pairs = {k: v for k, v in found.items() if k != "dbname"}
    return (
        f"postgresql:///{quote(str(found.get('dbname', '')))}?{urlencode(pairs, quote_via=quote)}"
    )


def with_database(address: str, name: str) -> str:
    """Return the address of another database on the same server."""
    parts = urlsplit(address)
    pairs = [(k, v) for k, v in _pairs(parts) if k not in ("dbname", "database")]
    return _joined(parts._replace(path=f"/{quote(name)}"), pairs)


def with_schema(address: str, name: str) -> str:
    """Return the address with `name` as the only schema that is searched."""
    parts = urlsplit(address)
    before = "".join(f"{v} " for k, v in _pairs(parts) if k == "options")
    pairs = [(k, v) for k, v in _pairs(parts) if k != "options"]
    return _joined(parts, [*pairs, ("options", f"{before}-csearch_path={name}")])


def redacted(address: str) -> str:
    """Return the address without its password, to be shown."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    pairs = [(k, v) for k, v in _pairs(parts) if k not in ("password", "options")]
    return _joined(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}"), pairs)


def _pairs(parts: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(parts.query, keep_blank_values=True)


def _joined(parts: SplitResult, pairs: list[tuple[str, str]]) -> str:
    # urlunsplit drops the // of an address without a host.
    query = f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"


def explain(error: psycopg.Error, address: str) -> ServerError:
    """Return the error that names what to repair in or behind DATABASE_URL."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
    where = redacted(address)
    for pattern, sentence in _SENTENCES:
        if re.search(pattern, f"{error.sqlstate or ''} {error}", re.IGNORECASE):
            return ServerError(f"{sentence.format(where=where)}, {_OWN}.", said)
    return ServerError(f"PostgreSQL at {where} refused: {said}. Check {VARIABLE}, {_OWN}.", said)


_SENTENCES = (
    (
        r"password authentication failed|no password supplied|^28P01",
        "PostgreSQL at {where} does not take the password: correct the user and password in "
        + VARIABLE,
    ),
    (
        r"no pg_hba.conf entry|^28000",
        "PostgreSQL at {where} does not let this user in from here: allow it in pg_hba.conf there",
    ),
    (
        r"could not translate host name|name or service not known|failed to resolve",
        "The host of {where} is not known: correct it in " + VARIABLE,
    ),
    (
        r"connection refused|timeout expired|timed out|unreachable|no route|no such file|is the server running",
        "Nothing answers at {where}: start that server, correct host and port in " + VARIABLE,
    ),
    (
        r"starting up|shutting down|recovery mode",
        "PostgreSQL at {where} is just starting or stopping: try again in a few seconds",
    ),
    (
        r"read-only|^25006",
        "The database at {where} is read-only, and lessons write: name one that can be written in "
        + VARIABLE,
    ),
    (
        r"^53300|too many (clients|connections)|remaining connection slots",
        "PostgreSQL at {where} has no connection left: close those that are not needed, raise max_connections there",
    ),
    (
        r"^42501|permission denied",
        "The user of {where} may create neither a database nor a schema: grant it CREATE on the database",
    ),
    (
        r"^3D000|database .* does not exist",
        "The database of {where} does not exist: create it, name another in " + VARIABLE,
    ),
)
