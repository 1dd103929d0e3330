"""Options of a scan, from the command line and from `[tool.loopclinic.scan]` in pyproject.toml."""

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING, WEIGHTS
from loopclinic.scanner.finding import CONFIDENCES

_FOUND = sorted(CONFLICTS.keys() - SHOWN_RUNNING)


class SettingsError(ValueError):
    """An option can't be used; the message names it, and what it may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a scan, by the names they have in pyproject.toml (with `-` for `_`)."""

    fail_on: tuple[str, ...] = ()
    """Kinds, or "any", that make the exit status 1."""
    min_confidence: str = ""
    """What is reported: "hint", "likely" or "certain" and above; empty for everything."""
    min_weight: str = ""
    """What is reported: "light", "medium" or "heavy" and above; empty for everything."""
    ignore: tuple[str, ...] = ()
    """Kinds that are not reported."""
    exclude: tuple[str, ...] = ()
    """Patterns of files and folders that are not read, such as `migrations` or `tests/data/*`."""
    baseline: str = ""
    """A file of known findings, relative to pyproject.toml's folder or the working directory."""
    catalogue: tuple[dict[str, Any], ...] = ()
    """Entries of your own: loopclinic.blocking_calls says what they hold."""
    blocking: tuple[dict[str, Any], ...] = ()
    """Functions of your own that block: `function` ("package.module.Class.method"), `kind`, `remedy`."""
    per_path_ignores: dict[str, list[str]] = field(default_factory=dict)
    """Pattern of files -> the kinds, or "any", that are not reported there."""
    allow: tuple[dict[str, Any], ...] = ()
    """Findings that stay: `path`, a pattern; `kind`; `reason`; and, if wanted, `function` and `source`."""

    def checked(self) -> "Settings":
        """Check the options and return them.

        Raises:
            SettingsError: one of them can't be used.
        """
        for name, given, known in (
            ("min-confidence", self.min_confidence, CONFIDENCES),
            ("min-weight", self.min_weight, WEIGHTS),
        ):
            if given and given not in known:
                raise SettingsError(f"{name} is {given!r}: use {', '.join(known)}.")
        for one in self.blocking:
            _keys("blocking", one, {"function", "kind", "remedy"}, {"function", "kind"})
        for one in self.allow:
            _keys(
                "allow",
                one,
                {"path", "kind", "reason", "function", "source"},
                {"path", "kind", "reason"},
            )
        per_path = {kind for kinds in self.per_path_ignores.values() for kind in kinds}
        for name, kinds in (
            ("fail-on", self.fail_on),
            ("ignore", self.ignore),
            ("per-path-ignores", per_path),
            ("allow", [one["kind"] for one in self.allow]),
            ("blocking", [one["kind"] for one in self.blocking]),
        ):
            for kind in kinds:
                if kind in _FOUND or (name in ("fail-on", "per-path-ignores") and kind == "any"):
                    continue
                # A gate on what is never found would be passed by everything.
                why = "only a running program shows" if kind in SHOWN_RUNNING else "is no conflict"
                raise SettingsError(
                    f"{name} names {kind!r}, which {why}: "
                    f"use {'any, ' if name in ('fail-on', 'per-path-ignores') else ''}{', '.join(_FOUND)}."
                )
        return self


def _keys(name: str, one: dict[str, Any], known: set[str], needed: set[str]) -> None:
    if not needed <= one.keys() <= known:
        raise SettingsError(
            f"An entry of {name} has {', '.join(sorted(one)) or 'nothing'}: it needs "
            f"{', '.join(sorted(needed))}, and may have {', '.join(sorted(known - needed)) or 'nothing else'}."
        )


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
        expected = {
            **dict.fromkeys(("min_confidence", "min_weight", "baseline"), str),
            "per_path_ignores": dict,
        }.get(name, tuple)
        if not isinstance(given[name], expected):
            raise SettingsError(f"{path}, [tool.loopclinic.scan]: {key!r} is of the wrong type.")
    if given.get("baseline"):
        given["baseline"] = str(path.parent / given["baseline"])
    return Settings(**given)
