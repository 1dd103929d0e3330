"""What is set after a look and an await, without a lock over both."""

import ast
import re
from collections.abc import Iterator

from loopclinic.scanner.facts.statements import Statements
from loopclinic.scanner.facts.syntax import inside, spelled

__all__ = ["initialized"]

_LOCK = re.compile("lock|mutex|sem|guard", re.IGNORECASE)


def initialized(reader: Statements, node: ast.AsyncFunctionDef) -> None:
    """Look for `if x is None: x = await ...`, where x outlives the function."""
    for one in inside(node.body, _is_locked):
        if isinstance(one, ast.If):
            _look(reader, one)


def _look(reader: Statements, node: ast.If) -> None:
    checked = _checked(node.test)
    if not checked:
        return
    if "." not in checked and checked not in reader.scope.outer and "[" not in checked:
        return
    suspended: ast.AST | None = None
    for one in _unlocked(node.body):
        if isinstance(one, ast.Await):
            suspended = suspended or one.value
        elif isinstance(one, (ast.Assign, ast.AnnAssign)):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            if any(_spelled_item(target) == checked for target in targets):
                awaited = next(
                    (
                        here.value
                        for here in inside([one.value] if one.value else [])
                        if isinstance(here, ast.Await)
                    ),
                    suspended,
                )
                if awaited is not None:
                    reader.pattern("lazy-init-race", awaited, (), checked)
                    return


def _checked(test: ast.expr) -> str:
    """Return what a test finds missing, as written: `self.pool`, or `self.cache[]`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return spelled(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        right = test.comparators[0]
        if isinstance(test.ops[0], (ast.Is, ast.Eq)) and isinstance(right, ast.Constant):
            return spelled(test.left) if right.value is None else ""
        if isinstance(test.ops[0], ast.NotIn) and spelled(right):
            return f"{spelled(right)}[]"
    if isinstance(test, ast.BoolOp):
        return next((found for one in test.values if (found := _checked(one))), "")
    return ""


def _spelled_item(node: ast.expr) -> str:
    return f"{spelled(node.value)}[]" if isinstance(node, ast.Subscript) else spelled(node)


def _is_locked(node: ast.AST) -> bool:
    """Whether this is an `async with` on a lock."""
    return isinstance(node, ast.AsyncWith) and any(
        (one is item.context_expr and isinstance(one, (ast.Name, ast.Attribute)))
        or _LOCK.search(one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", ""))
        for item in node.items
        for one in ast.walk(item.context_expr)
    )


def _unlocked(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield nodes, without what stands under a lock."""
    for one in body:
        if _is_locked(one) or isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        nested = [
            child
            for name in ("body", "orelse", "finalbody")
            for child in getattr(one, name, None) or []
        ]
        if nested:
            yield from _unlocked(nested)
        else:
            yield from sorted(inside([one]), key=lambda node: not isinstance(node, ast.Await))
