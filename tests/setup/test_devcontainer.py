"""The dev container: its file follows the published schema, and names commands and ports that are there."""

import copy
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft201909Validator

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".devcontainer" / "devcontainer.json"
SCHEMA = Path(__file__).with_name("devcontainer") / "devContainer.base.schema.json"


@pytest.fixture(scope="module")
def schema():
    found = json.loads(SCHEMA.read_text("utf-8"))
    Draft201909Validator.check_schema(found)
    return Draft201909Validator(found)


@pytest.fixture
def container():
    return json.loads(FILE.read_text("utf-8"))


def test_it_follows_the_schema(schema, container):
    assert [error.message for error in schema.iter_errors(container)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("forwardPorts", [70_000]),
        ("forwardPorts", "8899"),
        ("postCreateCommand", 1),
        ("portsAttributes", {"8899": {"onAutoForward": "sometimes"}}),
        ("portsAttributes", {"8899": "JupyterLab"}),
        ("remoteEnv", {"PATH": 1}),
        ("name", None),
        ("postCreateComand", "make setup"),
    ],
)
def test_the_schema_refuses_what_is_wrong(schema, container, key, value):
    wrong = copy.deepcopy(container) | {key: value}
    assert [*schema.iter_errors(wrong)]


def test_its_step_is_a_target_of_the_makefile_and_its_python_one_that_was_tried(container):
    target = re.fullmatch(r"make (\w+)", container["postCreateCommand"])[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    python = re.search(r"/python:(\d\.\d+)-", container["image"])[1]
    assert f"Python :: {python}" in (ROOT / "pyproject.toml").read_text()


def test_its_ports_are_those_that_the_readme_names(container):
    assert set(container["portsAttributes"]) == {str(port) for port in container["forwardPorts"]}
    readme = (ROOT / "README.md").read_text()
    part = readme[readme.index("**A dev container.**") :]
    assert all(f"--port {port}" in part for port in container["forwardPorts"])
