"""Pattern: one task for each element of a collection, all at once."""

import ast
import re
from typing import Any

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import Nodes, inside, of_types, spelled

_PARTS = re.compile("batch|chunk|window|slice|group|page", re.IGNORECASE)
"""Functions that cut a collection into parts of the size they are given."""


def at_once(reader: Expressions, node: ast.AsyncFunctionDef, nodes: Nodes) -> None:
    """Look for gather and wait on one coroutine an element, with no limit in sight."""
    calls = of_types(nodes, ast.Call)
    started = [one for one in calls if reader.tail_of(one) in ("gather", "wait")]
    if not started:
        return
    for one in ast.walk(node):
        name = spelled(one).lower()
        if "sem" in name or ("limit" in name and isinstance(one, ast.Name)):
            return
    parts = _parts(nodes)
    grown = _grown(nodes, parts)
    windows = {id(call) for loop in of_types(nodes, ast.For) for call in _first_done(loop)}
    for one in started:
        if id(one) in windows:
            return  # as many as are let in while others end
        for arg in one.args:
            inner = arg.value if isinstance(arg, ast.Starred) else arg
            named = grown.get(inner.id) if isinstance(inner, ast.Name) else None
            made = named or _mapped(inner, parts)
            if made is not None:
                values = (reader.quietly(one.func), reader.quietly(made))
                reader.pattern("unbounded-gather", one, values)
                break


def _first_done(loop: ast.For) -> list[ast.AST]:
    """Return the calls in a loop that wait until one of several ends."""
    return [
        one
        for one in inside(loop.body)
        if isinstance(one, ast.Call)
        and any(spelled(word.value).endswith("FIRST_COMPLETED") for word in one.keywords)
    ]


def _parts(nodes: Nodes) -> set[str]:
    """Return the names of slices, and of what loops over parts of a given size go through."""
    found: set[str] = set()
    lists: set[str] = set()
    for one in of_types(nodes, ast.Assign):
        if isinstance(one.targets[0], ast.Name):
            name, value = one.targets[0].id, one.value
            if _is_slice(value):
                found.add(name)
            elif isinstance(value, (ast.ListComp, ast.GeneratorExp)) and _is_slice(value.elt):
                lists.add(name)
    for one in of_types(nodes, ast.For, ast.AsyncFor):
        if isinstance(one.target, ast.Name):
            source = one.iter
            sized = isinstance(source, ast.Call) and len(source.args) + len(source.keywords) > 1
            if (
                spelled(source) in lists
                or (isinstance(source, (ast.ListComp, ast.GeneratorExp)) and _is_slice(source.elt))
                or (sized and _PARTS.search(spelled(source.func).split(".")[-1]))
            ):
                found.add(one.target.id)
    return found


def _is_slice(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)


def _small(node: ast.expr, parts: set[str]) -> bool:
    """Return whether an iterable is as long as the source says."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
        return True
    if isinstance(node, ast.Call) and spelled(node.func) == "range":
        return True
    if isinstance(node, ast.Subscript):
        return _is_slice(node)
    name = spelled(node)
    return name.split(".")[-1].isupper() or name in parts


def _mapped(node: ast.AST, parts: set[str]) -> ast.expr | None:
    """Return the function that makes one coroutine for each element, if nothing limits how many."""
    if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
        if any(_small(one.iter, parts) for one in node.generators):
            return None
        element: Any = node.elt
        while isinstance(element, ast.Call):
            name = spelled(element.func).rpartition(".")[2]
            if name in ("create_task", "ensure_future", "wait_for", "shield") and element.args:
                element = element.args[0]
            else:
                return element.func
    if isinstance(node, ast.Call) and spelled(node.func) == "map" and node.args:
        return node.args[0]
    return None


def _grown(nodes: Nodes, parts: set[str]) -> dict[str, ast.expr]:
    """Return name -> function, for lists of coroutines or tasks, one for each element."""
    found: dict[str, ast.expr] = {}
    for one in of_types(nodes, ast.Assign):
        if isinstance(one.targets[0], ast.Name):
            made = _mapped(one.value, parts)
            if made is not None:
                found[one.targets[0].id] = made
    for one in of_types(nodes, ast.For, ast.AsyncFor):
        if not _small(one.iter, parts):
            for call in inside(one.body):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in ("append", "add")
                    and isinstance(call.func.value, ast.Name)
                    and call.args
                    and isinstance(call.args[0], ast.Call)
                ):
                    made_by = call.args[0]
                    name = spelled(made_by.func).rpartition(".")[2]
                    if name in ("create_task", "ensure_future") and made_by.args:
                        first = made_by.args[0]
                        found[call.func.value.id] = (
                            first.func if isinstance(first, ast.Call) else first
                        )
                    else:
                        found[call.func.value.id] = made_by.func
    return found
