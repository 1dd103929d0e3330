"""The catalogue is well formed, and what it names exists where its library is installed."""

import importlib
import importlib.util
import sys
import warnings

import pytest

from loopclinic.blocking_calls import CatalogueError, catalogue

ENTRIES = catalogue().entries
ANY = {"*", "__init__", "__enter__", "__iter__", "__import__"}


def found(path):
    """Return the object at an import path; None where its library is not installed.

    Raises:
        AttributeError: the library is there and has no such thing.
    """
    parts = path.split(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if importlib.util.find_spec(parts[0]) is None:
                return None
        except ValueError:
            return None
        for split in range(len(parts), 0, -1):
            try:
                one = importlib.import_module(".".join(parts[:split]))
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] != parts[0]:
                    return None  # an optional part of a library, which needs another one
                continue
            for name in parts[split:]:
                one = getattr(one, name)
            return one
    raise AttributeError(path)


def installed(entry):
    if entry.since and sys.version_info < tuple(map(int, entry.since.split("."))):
        return False
    try:
        return importlib.util.find_spec(entry.path.partition(".")[0]) is not None
    except ValueError:
        return False


if importlib.util.find_spec("django") is not None:
    import django
    from django.conf import settings

    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"]
    )  # its models can't be looked at without
    django.setup()

OPTIONAL = {"dbm.gnu", "dbm.ndbm"}
"""Parts of the standard library that a build of Python may lack: Debian's has them in a package."""
INSTALLED = [entry for entry in ENTRIES if installed(entry) and not entry.invented]


def test_every_entry_names_its_source():
    assert all(entry.source.startswith("https://") for entry in ENTRIES)


@pytest.mark.parametrize("entry", INSTALLED, ids=lambda entry: f"{entry.path}-{entry.kind}")
def test_what_an_entry_names_exists(entry):
    one = found(entry.path)
    names = {*entry.blocks, *entry.blocking_with, *entry.closes, *entry.awaits} - ANY
    names |= {*entry.on_loop, *entry.on_loop_decorators} - ANY
    for name in entry.on_loop_methods:  # of one of several base classes
        if name.endswith("*"):
            continue  # such as a subclass may name them
        assert any(hasattr(found(path), name) for path in (entry.path, *entry.also)), name
    missing = {name for name in names if one is not None and not hasattr(one, name)}
    if missing:  # set when it is made, or made by a function
        missing = {name for name in missing if not hasattr(one(), name)}
    assert not missing, f"{entry.path} has no {', '.join(sorted(missing))}"
    for path in {*entry.made_by, *entry.also} - OPTIONAL:
        found(path)  # raises where the library is there and the name is not


def test_the_standard_library_is_held_to_it():
    assert len(INSTALLED) > 60


def test_the_libraries_that_must_be_there():
    roots = catalogue().roots
    assert roots >= {
        *("psycopg", "psycopg2", "psycopg_pool", "sqlalchemy", "sqlite3", "redis", "requests"),
        *("httpx", "urllib", "boto3", "minio", "twilio", "openai", "anthropic", "threading"),
        *("queue", "concurrent", "bcrypt", "hashlib", "PIL", "tempfile", "shutil", "os"),
        *("pathlib", "subprocess", "smtplib", "socket", "celery"),
    }


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        ({"kind": "blocking-db"}, "needs `class` or `module`"),
        ({"class": "a.B", "kind": "no-such-kind"}, "the kinds are"),
        ({"class": "a.B", "kinds": "blocking-db"}, "unknown keys: kinds"),
    ],
)
def test_an_addition_that_cannot_be_used_is_refused(addition, complaint):
    with pytest.raises(CatalogueError, match=complaint):
        catalogue([addition])
