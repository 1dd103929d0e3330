"""Pattern: an `async for` over a call that a `break` or `return` leaves before its end."""

import ast
from collections.abc import Iterable, Iterator

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import Nodes, inside, of_types


def left_early(reader: Expressions, nodes: Nodes) -> None:
    """Note what such a loop calls."""
    for one in of_types(nodes, ast.AsyncFor):
        if isinstance(one.iter, ast.Call):
            returns = any(isinstance(inner, ast.Return) for inner in inside(one.body))
            if returns or any(_breaks(one.body)):
                callee = reader.quietly(one.iter.func)
                reader.pattern("unclosed-generator", one.iter, (callee,))


def _breaks(body: Iterable[ast.AST]) -> Iterator[bool]:
    """Yield True for each `break` that ends the loop of this body."""
    for one in body:
        if isinstance(one, ast.Break):
            yield True
        elif not isinstance(one, (ast.For, ast.AsyncFor, ast.While, ast.expr)):
            yield from _breaks(ast.iter_child_nodes(one))
