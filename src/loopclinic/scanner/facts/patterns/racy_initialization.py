"""Pattern: a variable is checked and then set, with an await in between and no lock around both."""

import ast
import re
from collections.abc import Iterator

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import inside, missing, named, spelled

_LOCK = re.compile("lock|mutex|sem|guard", re.IGNORECASE)


def initialized(reader: Expressions, node: ast.AsyncFunctionDef) -> None:
    """Look for `if x is None: x = await ...`, where x outlives the function."""
    held = any(
        isinstance(one, ast.Expr)
        and isinstance(one.value, ast.Await)
        and isinstance(one.value.value, ast.Call)
        and (called := spelled(one.value.value.func)).endswith(".acquire")
        and _LOCK.search(called)
        for one in node.body
    )
    for one in () if held else inside(node.body, is_locked):
        if isinstance(one, ast.If):
            _look(reader, one)


def _look(reader: Expressions, node: ast.If) -> None:
    checked = missing(node.test)
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
            if any(named(target) == checked for target in targets):
                below = inside([one.value] if one.value else [])
                awaits = (here.value for here in below if isinstance(here, ast.Await))
                awaited = next(awaits, suspended)
                if awaited is not None:
                    reader.pattern("lazy-init-race", awaited, (), checked)
                    return


def is_locked(node: ast.AST) -> bool:
    """Return whether this is an `async with` on a lock."""
    return isinstance(node, ast.AsyncWith) and any(
        (one is item.context_expr and isinstance(one, (ast.Name, ast.Attribute)))
        or _LOCK.search(one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", ""))
        for item in node.items
        for one in ast.walk(item.context_expr)
    )


def _unlocked(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield nodes, without what stands under a lock."""
    for one in body:
        if is_locked(one) or isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
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
