"""Pattern: loops with so many turns, as the source says, that they keep the event loop busy."""

import ast

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import Nodes, contains_await, inside, of_types, spelled

_MANY = 100_000
"""So many turns of a loop take tens of milliseconds."""


def counted(reader: Expressions, nodes: Nodes) -> None:
    """Look for long counting loops without an await."""
    for one in of_types(nodes, ast.For):
        turns = _turns(one.iter)
        if turns and not contains_await(one.body) and not _fills(one.body):
            for inner in inside(one.body):
                if isinstance(inner, ast.For):
                    turns = max(turns, turns * _turns(inner.iter))
            if turns >= _MANY:
                reader.pattern("cpu-bound", one)
    for one in of_types(nodes, ast.ListComp, ast.GeneratorExp, ast.SetComp):
        turns = 1
        for generator in one.generators:
            turns *= max(1, _turns(generator.iter))
        if turns >= _MANY:
            reader.pattern("cpu-bound", one)


def _fills(body: list[ast.stmt]) -> bool:
    """Return whether a loop only fills a queue or a list of this process."""
    return all(
        isinstance(one, ast.Expr)
        and isinstance(one.value, ast.Call)
        and spelled(one.value.func).rpartition(".")[2] in ("put_nowait", "append", "appendleft")
        for one in body
    )


def _turns(node: ast.expr) -> int:
    """Return how often a `range` of constants turns; 0 if that is not known."""
    if isinstance(node, ast.Call) and spelled(node.func) == "range" and node.args:
        limit = node.args[1] if len(node.args) > 1 else node.args[0]
        if isinstance(limit, ast.Constant) and isinstance(limit.value, int):
            return limit.value
        if isinstance(limit, ast.BinOp) and isinstance(limit.op, (ast.Pow, ast.Mult)):
            left, right = limit.left, limit.right
            if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
                a, b = left.value, right.value
                if isinstance(a, int) and isinstance(b, int) and a < _MANY and b < 20:
                    return int(a**b if isinstance(limit.op, ast.Pow) else a * b)
    return 0
