"""Pattern: a result is kept in something that outlives the function, and made only while it is missing."""

import ast

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import ONCE, ONCE_A_KEY
from loopclinic.scanner.facts.syntax_queries import inside, missing, named


def kept(reader: Expressions, node: ast.If) -> tuple[int, int]:
    """Return the flags of what runs only while a result is missing: within an `if`, and behind it."""
    lacking = _lacking(node.test)
    if lacking and _outlives(reader, lacking):
        assigned = (one for one in inside(node.body) if isinstance(one, ast.Assign))
        if any(named(target) == lacking for one in assigned for target in one.targets):
            return _flag(lacking), 0
    only = node.body[0]
    if len(node.body) == 1 and isinstance(only, ast.Return) and only.value is not None:
        present = named(only.value)
        denied = ast.UnaryOp(ast.Not(), node.test)
        if present and present == _lacking(denied) and _outlives(reader, present):
            return 0, _flag(present)
    return 0, 0


def _flag(kept_in: str) -> int:
    return ONCE_A_KEY if kept_in.endswith("[]") else ONCE


def _outlives(reader: Expressions, name: str) -> bool:
    """Return whether a name, as written, is a member, or one of the module's own."""
    root = name.partition(".")[0].removesuffix("[]")
    local = reader.lookup(root)
    if "." in name:
        return local is not None and local[0] in ("self", "cls", "g", "if", "im")
    if name.endswith("[]"):
        return local is not None and local[0] == "g"
    return root in reader.scope.outer


def _lacking(test: ast.expr) -> str:
    """Return what a test finds missing, and nothing else: `x is None or expired` asks more."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return parts.pop() if len(parts := {missing(one) for one in test.values}) == 1 else ""
    return missing(test)
