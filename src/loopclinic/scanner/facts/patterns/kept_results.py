"""Pattern: a result is kept in something that outlives the function, and made only while it is missing."""

import ast

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import ONCE, ONCE_A_KEY
from loopclinic.scanner.facts.syntax_queries import inside, spelled


def kept(reader: Expressions, node: ast.If) -> tuple[int, int]:
    """Return the flags of what runs only while a result is missing: within an `if`, and behind it."""
    missing = _missing(node.test)
    if missing and _outlives(reader, missing):
        assigned = (one for one in inside(node.body) if isinstance(one, ast.Assign))
        if any(_name(target) == missing for one in assigned for target in one.targets):
            return _flag(missing), 0
    present = _missing(ast.UnaryOp(ast.Not(), node.test))
    last = node.body[-1]
    if present and isinstance(last, ast.Return) and last.value is not None:
        value = last.value
        if _name(value) == present and len(node.body) == 1 and _outlives(reader, present):
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


def _missing(test: ast.expr) -> str:
    """Return what a test finds missing, as written: `self.pool`, or `self.cache[]` of one key."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return _missing(test.operand)
        if isinstance(test, ast.Call) and spelled(test.func) == "hasattr" and len(test.args) > 1:
            name = test.args[1]
            return f"{spelled(test.args[0])}.{getattr(name, 'value', '')}"
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            right = test.comparators[0]
            if isinstance(test.ops[0], ast.IsNot) and isinstance(right, ast.Constant):
                return spelled(test.left)
            return _name(ast.Subscript(right)) if isinstance(test.ops[0], ast.In) else ""
        return spelled(test)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        right = test.comparators[0]
        if isinstance(test.ops[0], ast.NotIn):
            return _name(ast.Subscript(right))
        if isinstance(test.left, ast.Call) and spelled(test.left.func) == "len":
            return spelled(test.left.args[0]) if getattr(right, "value", 1) == 0 else ""
        none = isinstance(right, ast.Constant) and right.value is None
        return spelled(test.left) if none and isinstance(test.ops[0], ast.Is | ast.Eq) else ""
    if isinstance(test, ast.BoolOp):
        parts = [_missing(one) for one in test.values]
        if isinstance(test.op, ast.And):
            return next(filter(None, parts), "")
        return parts[0] if len(set(parts)) == 1 else ""
    return ""


def _name(node: ast.expr) -> str:
    """Return a name as written, `cache[]` for an element."""
    if isinstance(node, ast.Subscript):
        return f"{spelled(node.value)}[]" if spelled(node.value) else ""
    return spelled(node)
