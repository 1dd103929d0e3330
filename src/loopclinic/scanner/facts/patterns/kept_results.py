"""Pattern: a result is kept in something that outlives the function, and made only while it is missing."""

import ast

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import ONCE, ONCE_A_KEY
from loopclinic.scanner.facts.function_scope import Scope
from loopclinic.scanner.facts.syntax_queries import inside, missing, named
from loopclinic.scanner.facts.values import tail, uncalled

_KEEPERS = frozenset({"cache", "lru_cache", "cached_property"})
"""Decorators of functools that keep a result, for each choice of arguments."""


def keeps(scope: Scope) -> int:
    """Return the flags of all that a function does whose result a decorator keeps."""
    if _KEEPERS.isdisjoint(tail(uncalled(one)) for one in scope.decorators):
        return 0
    return ONCE_A_KEY if len(scope.parameters) > ("method" in scope.traits) else ONCE


def kept(reader: Expressions, node: ast.If) -> tuple[int, int]:
    """Return the flags of what runs only while a result is missing: within an `if`, and behind it."""
    lacking = _lacking(node.test)
    if lacking and (flags := _outlives(reader, lacking)):
        assigned = (one for one in inside(node.body) if isinstance(one, ast.Assign))
        if any(named(target) == lacking for one in assigned for target in one.targets):
            return flags, 0
    only = node.body[0]
    if len(node.body) == 1 and isinstance(only, ast.Return) and only.value is not None:
        present = named(only.value)
        if present and present == _lacking(ast.UnaryOp(ast.Not(), node.test)):
            return 0, _outlives(reader, present)
    return 0, 0


def _outlives(reader: Expressions, name: str) -> int:
    """Return the flags for what is kept as a member or in the module, by its name as written; else 0."""
    root = name.partition(".")[0].removesuffix("[]")
    value = reader.lookup(root)
    tag = "" if value is None else value[0]
    if "." in name or name.endswith("[]"):
        is_kept = tag in (("self", "cls", "g", "if", "im") if "." in name else ("g",))
    else:
        is_kept = root in reader.scope.outer
    return (ONCE_A_KEY if name.endswith("[]") else ONCE) if is_kept else 0


def _lacking(test: ast.expr) -> str:
    """Return what a test finds missing, and nothing else: `x is None or expired` asks more."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return parts.pop() if len(parts := {missing(one) for one in test.values}) == 1 else ""
    return missing(test)
