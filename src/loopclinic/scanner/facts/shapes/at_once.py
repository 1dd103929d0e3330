"""What starts as many at once as there are elements."""

import ast
import re
from typing import Any

from loopclinic.scanner.facts.statements import Statements
from loopclinic.scanner.facts.syntax import inside, spelled

__all__ = ["at_once"]

_PART = re.compile("batch|chunk|window|slice", re.IGNORECASE)


def at_once(reader: Statements, node: ast.AsyncFunctionDef, nodes: list[ast.AST]) -> None:
    """Look for gather and wait on one coroutine an element, with no limit in sight."""
    started = [
        one
        for one in nodes
        if isinstance(one, ast.Call) and reader.tail_of(one) in ("gather", "wait")
    ]
    if not started:
        return
    bounded = any(
        isinstance(one, ast.Name) and re.search("sem|limit", one.id, re.IGNORECASE)
        for one in ast.walk(node)
    ) or any("sem" in spelled(one).lower() for one in ast.walk(node))
    if bounded:
        return
    grown = _grown(nodes)
    for one in started:
        for arg in one.args:
            inner = arg.value if isinstance(arg, ast.Starred) else arg
            named = grown.get(inner.id) if isinstance(inner, ast.Name) else None
            made = named or _mapped(inner)
            if made is not None:
                values = (reader.quietly(one.func), reader.quietly(made))
                reader.pattern("unbounded-gather", one, values)
                break


def _small(node: ast.expr) -> bool:
    """Whether an iterable is as long as the source says."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
        return True
    if isinstance(node, ast.Call) and spelled(node.func) == "range":
        return True
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice)
    name = spelled(node).split(".")[-1]
    return name.isupper() or bool(_PART.search(name))


def _mapped(node: ast.AST) -> ast.expr | None:
    """Return the function that makes one coroutine for each element, if nothing limits how many."""
    if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
        if any(_small(one.iter) for one in node.generators):
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


def _grown(nodes: list[ast.AST]) -> dict[str, ast.expr]:
    """Return name -> function, for lists of coroutines or tasks, one for each element."""
    found: dict[str, ast.expr] = {}
    for one in nodes:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            made = _mapped(one.value)
            if made is not None:
                found[one.targets[0].id] = made
        elif isinstance(one, (ast.For, ast.AsyncFor)) and not _small(one.iter):
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
