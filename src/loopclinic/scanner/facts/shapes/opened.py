"""What is opened and goes nowhere else."""

import ast
from collections.abc import Iterable

from loopclinic.scanner.facts.calls import CLOSERS
from loopclinic.scanner.facts.statements import Statements
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.words import words

__all__ = ["opened", "opened_in_passing"]

_OPENERS = words(
    "connect create_pool create_redis_pool create_connection open_connection create_async_engine"
    " from_url create_redis client"
)


def opened_in_passing(reader: Statements, node: ast.Call, value: Value) -> None:
    """Note that something is made, used once, and dropped."""
    name = reader.tail_of(node)
    if name[:1].isupper() or name in _OPENERS:
        reader.pattern("unclosed-resource", node, (value,), name)


def opened(
    reader: Statements, node: ast.FunctionDef | ast.AsyncFunctionDef, nodes: Iterable[ast.AST]
) -> None:
    """Note the local names that hold the result of a call and go nowhere else."""
    held: dict[str, list[ast.Call]] = {}
    for one in nodes:
        if isinstance(one, ast.Assign) and len(one.targets) == 1:
            target, call = one.targets[0], one.value
            call = call.value if isinstance(call, ast.Await) else call
            if isinstance(target, ast.Name) and isinstance(call, ast.Call):
                name = reader.tail_of(call)
                if name[:1].isupper() or name in _OPENERS:
                    held.setdefault(target.id, []).append(call)
    if not held:
        return
    leaving = _leaving(node, set(held))
    for name, calls in held.items():
        if name in leaving or name in reader.scope.outer:
            continue
        for call in calls:
            callee = reader.quietly(call.func)
            if callee is not None:
                reader.pattern("unclosed-resource", call, (reader.make("c", callee, (), ()),), name)


def _leaving(node: ast.AST, names: set[str]) -> set[str]:
    """Return the names that are closed, or used for more than their attributes."""
    attribute_of: set[int] = set()
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            if one.attr not in CLOSERS or one.attr == "callback":
                attribute_of.add(id(one.value))
        elif (
            isinstance(one, ast.Name)
            and one.id in names
            and isinstance(one.ctx, ast.Load)
            and id(one) not in attribute_of
        ):
            found.add(one.id)
    return found
