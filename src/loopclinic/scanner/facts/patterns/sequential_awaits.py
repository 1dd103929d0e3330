"""Pattern: awaits one after another, though none needs a result of those before it."""

import ast
import re
from collections.abc import Iterator

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.syntax_queries import (
    Nodes,
    collected,
    inside,
    names_in,
    names_read,
    of_types,
    spelled,
    with_blocks,
)

_CONNECTION = re.compile(
    r"conn|cur$|cursor|sess|\btx\b|trans|\bdb\b|ws|sock|writer|reader|pipe|\bstream|uow|lock|queue"
    r"|sem|channel|msg|message|event|bot|page|asyncio|anyio|stack|file|\bf\b",
    re.IGNORECASE,
)
"""Receivers whose operations have an order of their own."""
_READS = re.compile(
    r"^_?(get|fetch|load|read|find|list|lookup|query|count|search|download|request|call|check"
    r"|resolve|compute|enrich|scrape|embed|transcribe|translate|summar|classify|score|price|quote"
    r"|build|render|process|handle|send|notify|upload|publish|ping|probe|sync|refresh|validate)"
)

_IN_ORDER = re.compile(
    r"next|page|step|stage|migrat|then|commit|in_order|sequen|lock|acquire|sleep"
)


def in_turn(reader: Expressions, node: ast.AsyncFunctionDef, nodes: Nodes) -> None:
    """Look for loops and rows of statements that await independent work piece by piece."""
    for one in of_types(nodes, ast.For):
        _loop(reader, one)
    for one in of_types(nodes, ast.ListComp, ast.DictComp):
        _comprehension(reader, one)
    for block in _blocks(node, nodes):
        _row(reader, block)


def _comprehension(reader: Expressions, node: ast.ListComp | ast.DictComp) -> None:
    generator = node.generators[0]
    if not generator.is_async and len(node.generators) == 1:
        _independent(reader, collected(node), names_in(generator.target))


def _loop(reader: Expressions, node: ast.For) -> None:
    """Look for a loop that awaits one piece after another and collects what they give."""
    if any(
        isinstance(one, (ast.Break, ast.Return, ast.Try, ast.AsyncWith, ast.Yield))
        for one in inside(node.body)
    ):
        return
    awaits = [one for one in inside(node.body) if isinstance(one, ast.Await)]
    if len(awaits) != 1:
        return
    targets = names_in(node.target)
    for statement in node.body:
        value = getattr(statement, "value", None)
        if isinstance(statement, ast.Expr) and isinstance(value, ast.Await):
            # handle(one), with nothing else in the loop
            call = value.value
            if (
                len(node.body) == 1
                and isinstance(call, ast.Call)
                and _READS.search(reader.tail_of(call))
            ):
                _independent(reader, value, targets)
        elif isinstance(statement, ast.Expr) and isinstance(value, ast.Call):
            # results.append(await fetch(one))
            if _adds(value):
                for arg in value.args:
                    _independent(reader, arg, targets)
        elif isinstance(statement, ast.Assign) and isinstance(value, ast.Await):
            stored = statement.targets[0]
            if isinstance(stored, ast.Subscript) or (
                isinstance(stored, ast.Name) and _collected(node.body, stored.id)
            ):
                _independent(reader, value, targets)


def _independent(reader: Expressions, node: ast.expr, targets: set[str]) -> None:
    """Note an awaited call that depends on its own element of the loop only."""
    if not isinstance(node, ast.Await) or not isinstance(node.value, ast.Call):
        return
    call = node.value
    used = names_read(call)
    receiver = spelled(call.func).rpartition(".")[0]
    name = reader.tail_of(call)
    if not used & targets or _CONNECTION.search(receiver) or _IN_ORDER.search(name):
        return
    callee = reader.quietly(call.func)
    reader.pattern("sequential-awaits", call, (callee,), "loop")


def _row(reader: Expressions, block: list[ast.stmt]) -> None:
    """Look for statements in a row, each awaiting something that needs none of the others."""
    run: list[ast.Call] = []
    names: set[str] = set()
    for statement in [*block, ast.Pass()]:
        call = _read(reader, statement)
        if call is not None and isinstance(statement, ast.Assign):
            if run and not names_read(call) & names:
                run.append(call)
            else:
                _report(reader, run)
                run, names = [call], set()
            names |= {name for target in statement.targets for name in names_in(target)}
        else:
            _report(reader, run)
            run, names = [], set()


def _read(reader: Expressions, statement: ast.stmt) -> ast.Call | None:
    """Return the call that `name = await call` reads something by, if its order is free."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Await):
        return None
    call = statement.value.value
    if not isinstance(call, ast.Call):
        return None
    name = reader.tail_of(call)
    receiver = spelled(call.func).rpartition(".")[0]
    if not _READS.search(name) or _IN_ORDER.search(name) or _CONNECTION.search(receiver):
        return None
    arguments = {spelled(one) for one in call.args}
    return None if any(one and _CONNECTION.search(one) for one in arguments) else call


def _report(reader: Expressions, run: list[ast.Call]) -> None:
    if len(run) > 1:
        values = tuple(reader.quietly(call.func) for call in run)
        reader.pattern("sequential-awaits", run[0], values, "row")


def _blocks(node: ast.AsyncFunctionDef, nodes: Nodes) -> Iterator[list[ast.stmt]]:
    for one in with_blocks(nodes):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(one, name, None)
            if block:
                yield block
    yield node.body


def _collected(body: list[ast.stmt], name: str) -> bool:
    return any(
        isinstance(one, ast.Call)
        and _adds(one)
        and any(name in names_read(arg) for arg in one.args)
        for one in inside(body)
    )


def _adds(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "extend", "add")
