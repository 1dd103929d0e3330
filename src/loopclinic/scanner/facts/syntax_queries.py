"""Queries on pieces of a syntax tree that need no resolved names."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from loopclinic.scanner.name_sets import words

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_BARE = (*SCOPES, ast.Name, ast.Constant, ast.MatchSingleton, ast.alias)
_NO_CODE = words(
    "ctx op ops attr arg name names module level rest kwd_attrs simple conversion type_comment"
    " is_async is_lazy asname str"
)
"""Fields that hold texts and numbers, and the operators and contexts, which are half of all nodes."""
_PARTS: dict[type, tuple[str, ...] | None] = dict.fromkeys(_BARE, ())
"""Type of node -> the fields that hold nodes, filled as types come up; None for what is no node."""
Nodes = dict[type[ast.AST], list[Any]]
"""The nodes of a function by their type."""
_ADDRESS = re.compile(r"[\d.]+|[\da-fA-F]*:[\da-fA-F:.]+|localhost")
_ASKS = words("exists is_file isfile is_dir isdir access")
_DEEPEST = 20_000
"""Calls of Python by Python: so many cover what Python can parse."""


def inside(
    nodes: Iterable[ast.AST], without: Callable[[ast.AST], bool] | None = None
) -> Iterator[ast.AST]:
    """Yield the nodes and all below them, without nested functions, classes, and what is left out.

    Operators and contexts are left out as well.
    """
    stack: list[Any] = list(nodes)[::-1]
    while stack:
        node = stack.pop()
        kind = node.__class__
        if kind not in _PARTS:
            _PARTS[kind] = _parts(kind)
        parts = _PARTS[kind]
        if parts is None:
            continue
        yield node
        if not parts or (without is not None and without(node)):
            continue
        for name in parts:
            value = getattr(node, name, None)
            if value.__class__ is list:
                stack += value[::-1]
            elif value is not None:
                stack.append(value)


def by_type(nodes: Iterable[ast.AST]) -> Nodes:
    """Return what `inside` yields by the type of node, in the order of the source."""
    found: Nodes = {}
    for one in inside(nodes):
        found.setdefault(one.__class__, []).append(one)
    return found


def of_types(nodes: Nodes, *kinds: type[ast.AST]) -> list[Any]:
    """Return the nodes of some types, each type in the order of the source."""
    return [one for kind in kinds for one in nodes.get(kind, ())]


def with_blocks(nodes: Nodes) -> list[Any]:
    """Return the nodes that have statements of their own."""
    kinds = (one for one in nodes if "body" in one._fields and not issubclass(one, ast.expr))
    return of_types(nodes, *kinds)


def _parts(kind: type) -> tuple[str, ...] | None:
    """Return the fields of a type that hold nodes, or None for the key of {**other}, a number and the like."""
    if not issubclass(kind, ast.AST):
        return None
    return tuple(one for one in kind._fields[::-1] if one not in _NO_CODE)


def contains_await(nodes: Iterable[ast.AST]) -> bool:
    """Return whether running these can suspend the coroutine they stand in."""
    return any(
        isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith))
        or (isinstance(node, ast.comprehension) and node.is_async)
        for node in inside(nodes)
    )


def searches(node: ast.For) -> bool:
    """Return whether a loop asks of each of some paths whether it is there, and ends with one that is."""
    parts = list(inside(node.body))
    called = [one.func for one in parts if isinstance(one, ast.Call)]
    asks = any(getattr(one, "attr", getattr(one, "id", "")) in _ASKS for one in called)
    counted = isinstance(node.iter, ast.Call) and spelled(node.iter.func) == "range"
    return asks and not counted and any(isinstance(one, ast.Return | ast.Break) for one in parts)


def spelled(node: ast.AST) -> str:
    """Return a name or a chain of attributes as written, or an empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def names_in(node: ast.AST) -> set[str]:
    """Return the names that an expression or target holds."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def names_read(node: ast.AST) -> set[str]:
    """Return the names that an expression reads."""
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
    }


def is_address(value: object) -> bool:
    """Return whether this is a host that is known without asking anybody: `127.0.0.1`, `::1`, `localhost`."""
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def called_on(nodes: Iterable[ast.AST], method: str) -> set[str]:
    """Return what `.method()` is called on by these nodes, as written."""
    return {
        spelled(node.func.value)
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == method
    }


def collected(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.expr:
    """Return what a comprehension collects; from Python 3.15 on that may be unpacked."""
    if isinstance(node, ast.DictComp):
        return node.value or node.key  # no value: {**one for one in many}
    return node.elt.value if isinstance(node.elt, ast.Starred) else node.elt


def missing(test: ast.expr) -> str:
    """Return what a test finds missing, as written: `self.pool`, or `self.cache[]` of one key."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return missing(test.operand)
        if isinstance(test, ast.Call) and spelled(test.func) == "hasattr" and len(test.args) > 1:
            name = test.args[1]
            return f"{spelled(test.args[0])}.{getattr(name, 'value', '')}"
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            right = test.comparators[0]
            if isinstance(test.ops[0], ast.IsNot) and isinstance(right, ast.Constant):
                return spelled(test.left)
            return _element(right) if isinstance(test.ops[0], ast.In) else ""
        return spelled(test)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        right = test.comparators[0]
        if isinstance(test.ops[0], ast.NotIn):
            return _element(right)
        if isinstance(test.left, ast.Call) and spelled(test.left.func) == "len":
            return spelled(test.left.args[0]) if getattr(right, "value", 1) == 0 else ""
        none = isinstance(right, ast.Constant) and right.value is None
        return spelled(test.left) if none and isinstance(test.ops[0], ast.Is | ast.Eq) else ""
    if isinstance(test, ast.BoolOp):
        parts = [missing(one) for one in test.values]
        return next(filter(None, parts), "")
    return ""


def named(node: ast.expr) -> str:
    """Return a name as written, `cache[]` for an element."""
    return _element(node.value) if isinstance(node, ast.Subscript) else spelled(node)


def _element(node: ast.expr) -> str:
    return f"{spelled(node)}[]" if spelled(node) else ""


def is_main_guard(test: ast.expr) -> bool:
    """Return whether this is `__name__ == "__main__"`."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
    )


def is_stub(body: list[ast.stmt]) -> bool:
    """Return whether a function only says that others are to define it."""
    rest = [
        one
        for one in body
        if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
    ]
    if not rest:
        return True
    if len(rest) > 1:
        return False
    only = rest[0]
    if isinstance(only, ast.Pass):
        return True
    if isinstance(only, ast.Raise) and only.exc is not None:
        error = only.exc.func if isinstance(only.exc, ast.Call) else only.exc
        return spelled(error) == "NotImplementedError"
    return False


@contextmanager
def deep() -> Iterator[None]:
    """Raise the recursion limit meanwhile: calls of Python by Python take no stack of C."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
