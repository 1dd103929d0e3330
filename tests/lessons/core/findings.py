"""Findings made up: those of a lab that keeps every promise, with one of them changed."""

from dataclasses import asdict, replace
from pathlib import Path

from loopclinic.lessons import Trial
from loopclinic.lessons.core import Check


def changed(found, changes):
    """A finding, or a list of them, with some fields replaced: `ending__seconds=0.9`, `each__0=...`."""
    for path, value in changes.items():
        name, _, rest = path.partition("__")
        inner = found[name] if isinstance(found, dict) else getattr(found, name)
        new = {name: changed(inner, {rest: value}) if rest else value}
        found = {**found, **new} if isinstance(found, dict) else replace(found, **new)
    return found


def judge(check: Check, findings: dict, contract=(), left_behind=()):
    """Judge these findings, by name of their scenes, as those of a trial that came to its end."""
    facts = {name: found and asdict(found) for name, found in findings.items()}
    trial = Trial("lesson", 1, facts, Path("lab.py"))
    return check.judge(trial, dict(contract), left_behind)
