"""Pattern: `try` or `suppress` around an await that catches errors or cancellation and drops them."""

import ast
from collections.abc import Iterable

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import SCOPES, called_on, inside, spelled
from loopclinic.scanner.facts.values import Value


def handlers(reader: Expressions, node: ast.Try) -> None:
    """Look at what a `try` around an await catches."""
    passed_on: list[Value] = []
    for handler in node.handlers:
        if handler.type is None:
            types: list[Value] = [reader.make("g", "BaseException")]
        elif isinstance(handler.type, ast.Tuple):
            types = [reader.visit(one) for one in handler.type.elts]
        else:
            types = [reader.visit(handler.type)]
        how = _raised(handler)
        if how in ("again", "kept"):
            passed_on += types if how == "again" else []
            continue
        if not any(one in passed_on for one in types):
            _note(reader, handler, node.body, [*types, None, *passed_on], how)


def left_finally(reader: Expressions, block: Iterable[ast.AST], *, in_loop: bool = False) -> None:
    """Look for a `return`, `break` or `continue` that leaves a `finally`, and drops what was raised."""
    for one in block:
        if isinstance(one, ast.Return) or (
            isinstance(one, (ast.Break, ast.Continue)) and not in_loop
        ):
            everything = reader.make("g", "BaseException")
            reader.pattern("swallowed-cancellation", one, (everything,), "finally:")
        elif isinstance(one, ast.stmt) and not isinstance(one, SCOPES):
            loops = in_loop or isinstance(one, (ast.For, ast.AsyncFor, ast.While))
            left_finally(reader, ast.iter_child_nodes(one), in_loop=loops)


def suppressed(reader: Expressions, node: ast.With | ast.AsyncWith, call: ast.Call) -> None:
    """Look at what a `suppress` around an await catches."""
    _note(reader, node, node.body, [reader.visit(one) for one in call.args], "suppress")


def _note(
    reader: Expressions,
    node: ast.stmt | ast.ExceptHandler,
    body: list[ast.stmt],
    types: list[Value],
    how: str,
) -> None:
    """Note the types that are caught around an await; behind a None, those raised again before."""
    awaited = {
        spelled(one.value) or _gathered(one.value)
        for one in inside(body)
        if isinstance(one, ast.Await)
    }
    if not all(awaited) or not awaited:
        awaited = set()
    reader.pattern("swallowed-cancellation", node, tuple(types), f"{how}:{','.join(awaited)}")


def note_ends(reader: Expressions, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Note which handlers return, or are the last thing that a function does: it ends all the same."""
    last = node.body[-1]
    at_end = {last.lineno, *(one.lineno for one in getattr(last, "handlers", ()))}
    for at, one in enumerate(reader.facts.patterns):
        how, _, awaited = one.note.partition(":")
        if one.kind != "swallowed-cancellation" or one.function != reader.scope.index:
            continue
        if how == "returns" or (how in ("nothing", "suppress") and one.line in at_end):
            reader.facts.patterns[at] = one._replace(note=f"ends:{awaited}")


def forget_own_cancellation(reader: Expressions, nodes: list[ast.AST]) -> None:
    """Forget what is caught around a task that this function itself cancelled."""
    index = reader.scope.index
    cancelled = called_on(nodes, "cancel")
    for one in nodes if cancelled else ():
        if isinstance(one, ast.For) and spelled(one.target) in cancelled:
            cancelled.add(spelled(one.iter))
    for one in nodes if cancelled else ():
        if isinstance(one, ast.For) and spelled(one.iter) in cancelled:
            cancelled.add(spelled(one.target))
    cancelled.discard("")
    if cancelled:
        reader.facts.patterns[:] = [
            one
            for one in reader.facts.patterns
            if one.kind != "swallowed-cancellation"
            or one.function != index
            or not set(one.note.partition(":")[2].split(",")) <= cancelled
        ]


def _raised(handler: ast.ExceptHandler) -> str:
    """Say what a handler raises: "again" for what it caught, "kept" to raise it later, "other", or nothing."""
    found = "returns" if isinstance(handler.body[-1], ast.Return) else "nothing"
    for node in inside(handler.body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            found = "kept" if node.value.id == handler.name else found
        if isinstance(node, ast.Raise):
            if node.exc is None or (isinstance(node.exc, ast.Name) and node.exc.id == handler.name):
                return "again"
            found = "other"
    return found


def _gathered(node: ast.AST) -> str:
    """Return what `gather(*tasks)`, `wait(tasks)` or `wait_for(task, …)` waits for, as written."""
    if isinstance(node, ast.Call) and node.args:
        name = spelled(node.func).rpartition(".")[2]
        if name in ("gather", "wait", "wait_for", "shield"):
            first = node.args[0]
            return spelled(first.value if isinstance(first, ast.Starred) else first)
    return ""
