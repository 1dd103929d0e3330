"""A scan's options: from the command line, from `[tool.loopclinic.scan]` in pyproject.toml, or neither."""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING
from loopclinic.scanner.findings import CONFIDENCES

__all__ = ["Settings", "SettingsError", "settings_for"]


_FOUND = sorted(CONFLICTS.keys() - SHOWN_RUNNING)


class SettingsError(ValueError):
    """An option can't be used; the message names it, and what it may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a scan, by the names they have in pyproject.toml (with `-` for `_`)."""

    fail_on: tuple[str, ...] = ()
    """Kinds, or "any", that make the exit status 1."""
    min_confidence: str = "hint"
    """What is reported: "hint", "likely" or "certain" and above."""
    ignore: tuple[str, ...] = ()
    """Kinds that are not reported."""
    exclude: tuple[str, ...] = ()
    """Patterns of files and folders that are not read, such as `migrations` or `tests/data/*`."""
    baseline: str = ""
    """A file of known findings, relative to pyproject.toml's folder or the working directory."""
    catalogue: tuple[dict[str, Any], ...] = ()
    """Entries of your own: loopclinic.scanner.catalogue says what they hold."""

    def checked(self) -> "Settings":
        """Return the same options.

        Raises:
            SettingsError: one of them can't be used.
        """
        if self.min_confidence not in CONFIDENCES:
            raise SettingsError(
                f"min-confidence is {self.min_confidence!r}: use {', '.join(CONFIDENCES)}."
            )
        for name, kinds in (("fail-on", self.fail_on), ("ignore", self.ignore)):
            for kind in kinds:
                if kind in _FOUND or (name == "fail-on" and kind == "any"):
                    continue
                # A gate on what is never found would be passed by everything.
                why = "only a running program shows" if kind in SHOWN_RUNNING else "is no conflict"
                raise SettingsError(
                    f"{name} names {kind!r}, which {why}: "
                    f"use {'any, ' if name == 'fail-on' else ''}{', '.join(_FOUND)}."
                )
        return self


def settings_for(root: Path, **given: Any) -> Settings:
    """Return the options for a scan of `root`: those given, else those of the nearest pyproject.toml.

    Raises:
        SettingsError: an option can't be used.
    """
    found = _from_project(root)
    return replace(
        found, **{key: value for key, value in given.items() if value is not None}
    ).checked()


def _from_project(root: Path) -> Settings:
    start = root if root.is_dir() else root.parent
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} can't be read: {error}.") from error
        options = table.get("tool", {}).get("loopclinic", {}).get("scan", {})
        return _checked_table(options, path)
    return Settings()


def _checked_table(options: dict[str, Any], path: Path) -> Settings:
    known = {one.name for one in fields(Settings)}
    given: dict[str, Any] = {}
    for key, value in options.items():
        name = key.replace("-", "_")
        if name not in known:
            raise SettingsError(
                f"{path}, [tool.loopclinic.scan]: {key!r} is unknown: "
                f"use {', '.join(sorted(one.replace('_', '-') for one in known))}."
            )
        given[name] = tuple(value) if isinstance(value, list) else value
        expected = str if name in ("min_confidence", "baseline") else tuple
        if not isinstance(given[name], expected):
            raise SettingsError(f"{path}, [tool.loopclinic.scan]: {key!r} is of the wrong type.")
    if given.get("baseline"):
        given["baseline"] = str(path.parent / given["baseline"])
    return Settings(**given)
