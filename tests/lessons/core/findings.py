"""Builders of synthetic findings: those of a lab that keeps every promise, with single fields changed."""

from dataclasses import asdict, replace

from loopclinic.lessons.core import Check


def changed(found, changes):
    """Return a finding, or a list, with some fields replaced: `ending__seconds=0.9`, `each__0=...`."""
    for path, value in changes.items():
        name, _, rest = path.partition("__")
        inner = found[name] if isinstance(found, dict) else getattr(found, name)
        new = {name: changed(inner, {rest: value}) if rest else value}
        found = {**found, **new} if isinstance(found, dict) else replace(found, **new)
    return found


def judge(check: Check, findings: dict, contract=(), left_behind=()):
    """Judge these findings, by name of their scenes, as those of a trial that came to its end."""
    facts = {name: found and asdict(found) for name, found in findings.items()}
    return check.judge(facts, dict(contract), left_behind)
