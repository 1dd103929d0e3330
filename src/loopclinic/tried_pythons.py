"""The Python versions that the kit was tested on, and how the running one differs from them.

The classifiers in pyproject.toml name them, and an installed kit carries those in its metadata.
"""

import platform
import re
import sys
import sysconfig
from importlib.metadata import metadata


def tried(classifiers: str) -> list[str]:
    """Return the versions named in `classifiers`, the text of pyproject.toml or of the metadata."""
    return re.findall(r"Programming Language :: Python :: (3\.\d+)", classifiers)


def tried_span(classifiers: str) -> str:
    """Return the versions named in `classifiers` as words: "CPython 3.11 to 3.15"."""
    versions = tried(classifiers)
    return f"CPython {versions[0]} to {versions[-1]}"


def own_version() -> str:
    """Return the running Python's version: "3.14", and "3.14t" for a free-threaded build."""
    threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{sys.version_info[0]}.{sys.version_info[1]}{threaded}"


def untried(classifiers: str | None = None) -> str | None:
    """Return how the running Python differs from those that were tried; None if it is one of them.

    `classifiers` are those of the installed kit unless given.
    """
    if classifiers is None:
        classifiers = "\n".join(metadata("loopclinic").get_all("Classifier", []))
    implementation, own = platform.python_implementation(), own_version()
    if implementation == "CPython" and own in tried(classifiers):
        return None
    kind = "a free-threaded build" if own.endswith("t") else f"{implementation} {own}"
    return f"this is {kind}, and the kit was tried on {tried_span(classifiers)} with the GIL"
