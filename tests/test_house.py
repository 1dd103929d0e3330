"""The structure of the code: which module may import which."""

import ast
import importlib
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
LAYERS = (
    {
        "blocking_calls",
        "conflicts",
        "drawing",
        "import_path",
        "lag_bars",
        "output_tail",
        "paths",
        "tried_pythons",
        "units",
        "verdict",
    },
    {"probe", "servers"},
    {"attached", "scope", "load", "runner", "export", "scanner", "timeline", "interrupted_cell"},
    {"lessons", "design", "recall"},
    {"checks"},
    {"cli", "__main__", "room"},
)
"""From below: what imports only its own layer and those before it."""
INSTRUMENT = {
    *("blocking_calls", "conflicts", "drawing", "lag_bars", "output_tail", "units"),
    *("attached", "probe", "scanner", "runner", "export", "timeline"),
}
"""What people take home: it needs nothing of the kit."""


def modules() -> dict[str, Path]:
    found = {}
    for file in SOURCE.rglob("*.py"):
        if "shipped" not in file.parts:
            name = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


class Imports(ast.NodeVisitor):
    """Collects what a module imports when it runs, also inside functions."""

    def __init__(self, known: set[str]) -> None:
        self.known, self.found = known, set()

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found |= {one.name for one in node.names}

    def visit_ImportFrom(self, node):
        for one in node.names:
            longer = f"{node.module}.{one.name}"
            self.found.add(longer if longer in self.known else node.module)


def imports() -> dict[str, set[str]]:
    known = modules()
    graph = {}
    for name, file in known.items():
        visitor = Imports(set(known))
        visitor.visit(ast.parse(file.read_text("utf-8")))
        graph[name] = (visitor.found & set(known)) - {name}
    return graph


@pytest.fixture(scope="module")
def graph():
    return imports()


def test_no_module_imports_itself_in_a_circle(graph):
    circle = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def layer_of(module: str) -> int | None:
    part = module.split(".")[1] if "." in module else None
    return next((number for number, parts in enumerate(LAYERS) if part in parts), None)


def test_every_module_stands_on_a_layer(graph):
    assert {name for name in graph if layer_of(name) is None} == {"loopclinic"}


def pairs(graph):
    return {
        (name, one)
        for name, found in graph.items()
        for one in found
        if "loopclinic" not in (name, one)
    }


def test_a_module_imports_from_its_own_layer_or_from_below(graph):
    above = {pair for pair in pairs(graph) if layer_of(pair[1]) > layer_of(pair[0])}
    assert above == set()


def test_the_instrument_imports_nothing_of_the_kit(graph):
    kit = {
        (name, one)
        for name, one in pairs(graph)
        if name.split(".")[1] in INSTRUMENT and one.split(".")[1] not in INSTRUMENT
    }
    assert kit == set()


@pytest.fixture(scope="module")
def layout():
    """What CONTRIBUTING.md says about the layout."""
    text = (SOURCE.parent / "CONTRIBUTING.md").read_text("utf-8")
    return text[text.index("## The layout") : text.index("## Add a lesson")]


def test_contributing_puts_each_module_on_its_layer(layout):
    rows = re.findall(r"^\| (\d) \| (.*?) \|", layout, re.MULTILINE)
    told = [set() for _ in LAYERS]
    for layer, names in rows:
        told[int(layer)] |= {name.strip("/") for name in re.findall(r"`([\w/]+)`", names)}
    assert tuple(told) == LAYERS


def test_contributing_names_modules_and_definitions_that_are_there(layout):
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", layout))
    folders = (SOURCE / "loopclinic", SOURCE.parent, SOURCE / "loopclinic/probe")
    assert len(named) > 50
    assert {one for one in named if not any((place / one).exists() for place in folders)} == set()
    texts = "\n".join(file.read_text("utf-8") for file in modules().values())
    fields = set(re.findall(r"`(?:[A-Z]\w+\.)?(_?[a-z]\w+)`", layout[layout.index("| field |") :]))
    assert {one for one in fields if not re.search(rf"\b{one}\b", texts)} == set()


def test_one_basename_has_one_meaning():
    """A lesson's modules have the same names in every lesson; `check`, `demo`, `progress` are commands, too."""
    folders = {}
    for name in modules():
        folder, _, base = name.rpartition(".")
        folder = "a lesson" if base in {"check", "demo", "ladder", "story"} else folder
        folders.setdefault(base, set()).add(folder)
    packages = {
        name.rpartition(".")[2] for name, file in modules().items() if file.stem == "__init__"
    }
    twice = {base for base, found in folders.items() if len(found) > 1}
    assert twice - packages - {"__main__"} == {"progress"}


def test_every_package_has_the_names_that_it_lists():
    packages = [name for name, file in modules().items() if file.stem == "__init__"]
    missing = {
        f"{package.__name__}.{one}"
        for package in map(importlib.import_module, packages)
        for one in getattr(package, "__all__", ())
        if not hasattr(package, one)
    }
    assert missing == set()
