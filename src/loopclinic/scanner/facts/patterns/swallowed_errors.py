"""Pattern: `try` or `suppress` around an await that catches errors or cancellation and drops them."""

import ast
from collections.abc import Iterable

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import IN_LOOP
from loopclinic.scanner.facts.syntax_queries import (
    SCOPES,
    Nodes,
    called_on,
    contains_await,
    inside,
    of_types,
    spelled,
)
from loopclinic.scanner.facts.values import Value

_LOOPS = (ast.For, ast.AsyncFor, ast.While)


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
            goes_on = "" if isinstance(one, ast.Return) else _goes_on(reader)
            reader.pattern("swallowed-cancellation", one, (everything,), f"{goes_on}finally:")
        elif isinstance(one, ast.stmt) and not isinstance(one, SCOPES):
            loops = in_loop or isinstance(one, _LOOPS)
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
    note = f"{_goes_on(reader)}{how}:{','.join(awaited)}"
    reader.pattern("swallowed-cancellation", node, tuple(types), note)


def _goes_on(reader: Expressions) -> str:
    return "loop " if reader.scope.flags & IN_LOOP else ""


def note_ends(reader: Expressions, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Note which handlers return, or are the last thing that a function does: it ends all the same.

    So does a `break` out of a loop behind which nothing is awaited.
    """
    last = node.body[-1]
    at_end = {last.lineno, *(one.lineno for one in getattr(last, "handlers", ()))}
    for at, loop in enumerate(node.body):
        if isinstance(loop, _LOOPS) and not contains_await(node.body[at + 1 :]):
            own = inside(loop.body, lambda one: isinstance(one, _LOOPS))
            handlers = (one for one in own if isinstance(one, ast.ExceptHandler))
            at_end.update(one.lineno for one in handlers if isinstance(one.body[-1], ast.Break))
    for at, one in enumerate(reader.facts.patterns):
        how, _, awaited = one.note.removeprefix("loop ").partition(":")
        if one.kind != "swallowed-cancellation" or one.function != reader.scope.index:
            continue
        last_of_all = how in ("nothing", "suppress") and one.line in at_end
        if how == "returns" or last_of_all:
            reader.facts.patterns[at] = one._replace(note=f"ends:{awaited}")


def forget_own_cancellation(reader: Expressions, nodes: Nodes) -> None:
    """Forget what is caught around a task that this function itself cancelled."""
    index = reader.scope.index
    cancelled = called_on(of_types(nodes, ast.Call), "cancel")
    loops = of_types(nodes, ast.For)
    cancelled |= {spelled(one.iter) for one in loops if spelled(one.target) in cancelled}
    cancelled |= {spelled(one.target) for one in loops if spelled(one.iter) in cancelled}
    cancelled.discard("")
    if cancelled:
        reader.facts.patterns[:] = [
            one
            for one in reader.facts.patterns
            if one.kind != "swallowed-cancellation"
            or one.function != index
            or not set(one.note.partition(":")[2].split(",")) <= cancelled
        ]


def guarded(body: list[ast.stmt]) -> bool:
    """Return whether statements of a coroutine let no error of what they await out."""
    found = False
    for one in body:
        if not contains_await([one]):
            continue
        if not (_catches(one) or _leads_only_to_guarded(one)):
            return False
        found = True
    return found


def _leads_only_to_guarded(node: ast.stmt) -> bool:
    """Return whether what an `if`, a loop or a `with` awaits stands in blocks that let no error out."""
    if isinstance(node, (ast.If, ast.While)):
        heads: list[ast.expr] = [node.test]
    elif isinstance(node, ast.For):
        heads = [node.iter]
    elif isinstance(node, (ast.With, ast.AsyncWith)):  # of a lock, mostly
        heads = [one.context_expr for one in node.items]
    else:
        return False
    blocks = (node.body, getattr(node, "orelse", []))
    return not contains_await(heads) and all(
        guarded(block) for block in blocks if contains_await(block)
    )


def _catches(node: ast.stmt) -> bool:
    """Return whether a `try` catches every error, and raises none again."""
    names = {
        "Exception" if handler.type is None else spelled(handler.type)
        for handler in getattr(node, "handlers", ())
        if not any(isinstance(step, ast.Raise) for step in inside(handler.body))
    }
    return not names.isdisjoint(("Exception", "BaseException"))


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
