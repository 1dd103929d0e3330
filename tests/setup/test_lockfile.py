"""requirements.lock is pinned and hashed, agrees with pyproject.toml, and contains no address of an index."""

import re
import tomllib

import lockfile
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.setup.conftest import ROOT

LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
JUPYTERS = {"jsonschema", "prometheus-client", "pyyaml"}  # it wants them, for reasons of its own


def pins(part):
    found = {}
    for block in lockfile.blocks(lockfile.part(LOCK, part)):
        name, version = re.match(r"([\w.-]+)==([^\s;]+)", block).groups()
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_no_address_and_no_path():
    text = LOCK.read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|--trusted|file:|[ =]/", text)


def test_every_package_is_pinned_and_hashed():
    blocks = lockfile.blocks(lockfile.part(LOCK, "test"))
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[\w.-]+==\S+", block)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


@pytest.mark.parametrize("part", ["kit", "test"])
def test_the_lock_answers_to_pyproject(part):
    wanted = EXTRAS["kit"] + PROJECT["dependency-groups"]["set-up"]
    wanted += EXTRAS["test"] if part == "test" else []
    have = pins(part)
    for line in wanted:
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == "loopclinic":
            continue
        versions = have.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not in the lock: run make lock"
        for version in versions:
            assert requirement.specifier.contains(version), (
                f"{line}, locked {version}: run make lock"
            )


def test_learners_do_not_get_what_only_tests_need():
    kit = {canonicalize_name(Requirement(line).name) for line in EXTRAS["kit"]}
    only_tests = {canonicalize_name(Requirement(line).name) for line in EXTRAS["test"]} - kit
    assert {"playwright", "mypy", "pytest-xdist"} <= only_tests
    assert not (only_tests - {"loopclinic", *JUPYTERS}) & set(pins("kit"))


def test_a_lock_without_its_mark_is_refused(tmp_path):
    broken = tmp_path / "requirements.lock"
    broken.write_text("rich==1.0 --hash=sha256:00\n")
    with pytest.raises(SystemExit, match="git checkout"):
        lockfile.part(broken, "kit")
