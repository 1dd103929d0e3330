"""Pattern: a resource that is opened and neither closed nor passed on."""

import ast
from typing import Any

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.function_calls import CLOSERS
from loopclinic.scanner.facts.syntax_queries import (
    Nodes,
    names_read,
    of_types,
    spelled,
    with_blocks,
)
from loopclinic.scanner.name_sets import words

_KEEPING = words(
    "append add put put_nowait setdefault insert create_task ensure_future closing aclosing"
)
"""Calls that keep their argument."""


def opened(reader: Expressions, node: ast.FunctionDef | ast.AsyncFunctionDef, nodes: Nodes) -> None:
    """Note the local names that hold the result of a call and go nowhere else."""
    held: dict[str, list[ast.Call]] = {}
    for one in of_types(nodes, ast.Assign) if reader.scope.opens else ():
        if len(one.targets) == 1:
            target, call = one.targets[0], one.value
            call = call.value if isinstance(call, ast.Await) else call
            if isinstance(target, ast.Name) and isinstance(call, ast.Call) and reader.opens(call):
                held.setdefault(target.id, []).append(call)
    if not held:
        return
    _open_on_a_way_out(reader, node, nodes, held)
    leaving = _leaving(node, set(held))
    for name, calls in held.items():
        if name in leaving or name in reader.scope.outer:
            continue
        for call in calls:
            callee = reader.quietly(call.func)
            if callee is not None:
                reader.pattern("unclosed-resource", call, (reader.make("c", callee, (), ()),), name)


def _open_on_a_way_out(
    reader: Expressions,
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    nodes: Nodes,
    held: dict[str, list[ast.Call]],
) -> None:
    """Note what is closed at the end of a block, and not where a statement leaves it before."""
    for owner in (node, *with_blocks(nodes)):
        for part in ("body", "orelse", "finalbody"):
            block: Any = getattr(owner, part, None)
            for at, one in enumerate(block) if isinstance(block, list) else ():
                call = getattr(one, "value", None)
                call = call.value if isinstance(call, ast.Await) else call
                name = next((key for key, calls in held.items() if call in calls), None)
                if name is None or not isinstance(call, ast.Call):
                    continue
                rest = block[at + 1 :]
                if not any(_closes(later, name) for later in rest) or _kept(rest, name):
                    continue
                way = _way_out(rest, name)
                callee = reader.quietly(call.func)
                if callee is not None and isinstance(way, ast.stmt):
                    made = reader.make("c", callee, (), ())
                    reader.pattern("unclosed-resource", call, (made,), f"{name}:{way.lineno}")


def _way_out(block: list[ast.stmt], name: str, *, in_loop: bool = False) -> ast.stmt | bool:
    """Return the statement that leaves a block with a resource open; True if it is closed before."""
    for one in block:
        if isinstance(one, (ast.Return, ast.Raise)):
            return one
        if isinstance(one, (ast.Break, ast.Continue)):
            return in_loop or one
        if isinstance(one, ast.Try) and any(_closes(last, name) for last in one.finalbody):
            return True
        parts = [getattr(one, part, None) or [] for part in ("body", "orelse")]
        if isinstance(one, ast.If) and _asks_for(one.test, name):
            continue
        if not any(parts):
            if _closes(one, name):
                return True
            continue
        loops = in_loop or isinstance(one, (ast.For, ast.AsyncFor, ast.While))
        ways = [_way_out(part, name, in_loop=loops) for part in parts if part]
        found = next((way for way in ways if isinstance(way, ast.stmt)), None)
        if found is not None:
            return found
        if all(way is True for way in ways) and _closes(one, name):
            return True
    return False


def _asks_for(test: ast.expr, name: str) -> bool:
    """Return whether a test asks whether there is such a thing at all."""
    one = test.operand if isinstance(test, ast.UnaryOp) else test
    one = one.left if isinstance(one, ast.Compare) else one
    return isinstance(one, ast.Name) and one.id == name


def _closes(node: ast.AST, name: str) -> bool:
    return any(
        isinstance(one, ast.Attribute)
        and one.attr in CLOSERS
        and isinstance(one.value, ast.Name)
        and one.value.id == name
        for one in ast.walk(node)
    )


def _kept(block: list[ast.stmt], name: str) -> bool:
    """Return whether a resource is handed to somebody who keeps it, or used by a function defined here."""
    parts: list[Any]
    for one in block:
        for node in ast.walk(one):
            if isinstance(node, ast.Call):
                keeps = spelled(node.func).rpartition(".")[2] in CLOSERS | _KEEPING
                parts = [*node.args, *(word.value for word in node.keywords)] if keeps else []
            elif isinstance(
                node, (ast.withitem, ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)
            ):
                if name in names_read(node):
                    return True
                continue
            elif isinstance(
                node, (ast.Return, ast.Assign, ast.Yield, ast.Tuple, ast.List, ast.Dict)
            ):
                parts = [
                    getattr(node, "value", None),
                    *getattr(node, "elts", getattr(node, "values", ())),
                ]
            else:
                continue
            if any(isinstance(part, ast.Name) and part.id == name for part in parts):
                return True
    return False


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
