"""Shapes in an async function that kinds may come from: what it catches, gathers, awaits in turn."""

import ast
import re
from collections.abc import Iterator
from typing import Any

from loopclinic.scanner.facts.expressions import CLOSERS
from loopclinic.scanner.facts.statements import Statements
from loopclinic.scanner.facts.syntax import (
    called_on,
    contains_await,
    inside,
    names_read,
    spelled,
)
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.words import words

__all__ = ["Patterns"]

_MANY = 100_000
"""So many turns of a loop take tens of milliseconds."""
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
_PART = re.compile("batch|chunk|window|slice", re.IGNORECASE)
_LOCK = re.compile("lock|mutex|sem|guard", re.IGNORECASE)
_IN_ORDER = re.compile(
    r"next|page|step|stage|migrat|then|commit|in_order|sequen|lock|acquire|sleep"
)


class Patterns(Statements):
    """Looks at the shapes of each function as it is read."""

    def shapes(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Look for shapes in a function whose body has just been read."""
        self._resources(node)
        self._cancelled_first(node)
        if isinstance(node, ast.AsyncFunctionDef):
            self._lazy(node.body)
            self._sequential(node)
            self._gathers(node)
            self._counting(node)

    # What is caught

    def handlers(self, node: ast.Try) -> None:
        """Look at what a `try` around an await catches."""
        passed_on: list[Value] = []
        for handler in node.handlers:
            if handler.type is None:
                types: list[Value] = [self.make("g", "BaseException")]
            elif isinstance(handler.type, ast.Tuple):
                types = [self.visit(one) for one in handler.type.elts]
            else:
                types = [self.visit(handler.type)]
            how = _raised(handler)
            if how == "again":
                passed_on += types
                continue
            if not any(one in passed_on for one in types):
                self.caught(handler, node.body, [*types, None, *passed_on], how)

    def caught(
        self, node: ast.stmt | ast.ExceptHandler, body: list[ast.stmt], types: list[Value], how: str
    ) -> None:
        """Note that these types are caught around an await, and not raised again."""
        awaited = {
            spelled(one.value) or _gathered(one.value)
            for one in inside(body)
            if isinstance(one, ast.Await)
        }
        if not all(awaited) or not awaited:
            awaited = set()
        self.pattern("swallowed-cancellation", node, tuple(types), f"{how}:{','.join(awaited)}")

    def _cancelled_first(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Forget what is caught around a task that this function itself cancelled."""
        index = self.scope.index
        if not any(
            one.kind == "swallowed-cancellation" and one.function == index
            for one in self.facts.patterns
        ):
            return
        cancelled = called_on(node.body, "cancel")
        for one in inside(node.body) if cancelled else ():
            if isinstance(one, ast.For) and spelled(one.target) in cancelled:
                cancelled.add(spelled(one.iter))
        for one in inside(node.body) if cancelled else ():
            if isinstance(one, ast.For) and spelled(one.iter) in cancelled:
                cancelled.add(spelled(one.target))
        cancelled.discard("")
        if cancelled:
            self.facts.patterns[:] = [
                one
                for one in self.facts.patterns
                if one.kind != "swallowed-cancellation"
                or one.function != index
                or not set(one.note.partition(":")[2].split(",")) <= cancelled
            ]

    # What is opened

    def opened_in_passing(self, node: ast.Call, value: Value) -> None:
        """Note that something is made, used once, and dropped."""
        name = self.tail_of(node)
        if name[:1].isupper() or name in _OPENERS:
            self.pattern("unclosed-resource", node, (value,), name)

    def _resources(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Note the local names that hold the result of a call and go nowhere else."""
        opened: dict[str, list[ast.Call]] = {}
        for one in inside(node.body):
            if isinstance(one, ast.Assign) and len(one.targets) == 1:
                target, call = one.targets[0], one.value
                call = call.value if isinstance(call, ast.Await) else call
                if isinstance(target, ast.Name) and isinstance(call, ast.Call):
                    name = self.tail_of(call)
                    if name[:1].isupper() or name in _OPENERS:
                        opened.setdefault(target.id, []).append(call)
        if not opened:
            return
        leaving = _leaving(node, set(opened))
        for name, calls in opened.items():
            if name in leaving or name in self.scope.outer:
                continue
            for call in calls:
                callee = self._quiet(call.func)
                if callee is not None:
                    self.pattern("unclosed-resource", call, (self.make("c", callee, (), ()),), name)

    def _quiet(self, node: ast.expr) -> Value:
        """Return the value of an expression without noting events."""
        scope = self.scope
        events, seen = len(scope.events), set(scope.seen)
        value = self.visit(node)
        del scope.events[events:]
        scope.seen = seen
        return value

    # What is set after a look and an await

    def _lazy(self, body: list[ast.stmt]) -> None:
        for node in inside(body, _is_locked):
            if isinstance(node, ast.If):
                self._lazy_if(node)

    def _lazy_if(self, node: ast.If) -> None:
        checked = _checked(node.test)
        if not checked:
            return
        if "." not in checked and checked not in self.scope.outer and "[" not in checked:
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
                        self.pattern("lazy-init-race", awaited, (), checked)
                        return

    # What is awaited in turn

    def _sequential(self, node: ast.AsyncFunctionDef) -> None:
        for one in inside(node.body):
            if isinstance(one, ast.For):
                self._collecting(one)
            elif isinstance(one, (ast.ListComp, ast.DictComp)):
                self._comprehended(one)
        for block in _blocks(node):
            self._in_turn(block)

    def _comprehended(self, node: ast.ListComp | ast.DictComp) -> None:
        value = node.value if isinstance(node, ast.DictComp) else node.elt
        generator = node.generators[0]
        targets = {one.id for one in ast.walk(generator.target) if isinstance(one, ast.Name)}
        if not generator.is_async and len(node.generators) == 1:
            self._independent(value, targets)

    def _collecting(self, node: ast.For) -> None:
        """A loop that awaits one piece after another and collects what they give."""
        if any(
            isinstance(one, (ast.Break, ast.Return, ast.Try, ast.AsyncWith, ast.Yield))
            for one in inside(node.body)
        ):
            return
        awaits = [one for one in inside(node.body) if isinstance(one, ast.Await)]
        if len(awaits) != 1:
            return
        targets = {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
        for statement in node.body:
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Await):
                # handle(one), with nothing else in the loop
                call = value.value
                if (
                    len(node.body) == 1
                    and isinstance(call, ast.Call)
                    and _READS.search(self.tail_of(call))
                ):
                    self._independent(value, targets)
            elif isinstance(statement, ast.Expr) and isinstance(value, ast.Call):
                # results.append(await fetch(one))
                if isinstance(value.func, ast.Attribute) and value.func.attr in (
                    "append",
                    "extend",
                    "add",
                ):
                    for arg in value.args:
                        self._independent(arg, targets)
            elif isinstance(statement, ast.Assign) and isinstance(value, ast.Await):
                stored = statement.targets[0]
                if isinstance(stored, ast.Subscript) or (
                    isinstance(stored, ast.Name) and _collected(node.body, stored.id)
                ):
                    self._independent(value, targets)

    def _independent(self, node: ast.expr, targets: set[str]) -> None:
        if not isinstance(node, ast.Await) or not isinstance(node.value, ast.Call):
            return
        call = node.value
        used = names_read(call)
        receiver = spelled(call.func).rpartition(".")[0]
        name = self.tail_of(call)
        if not used & targets or _CONNECTION.search(receiver) or _IN_ORDER.search(name):
            return
        callee = self._quiet(call.func)
        self.pattern("sequential-awaits", call, (callee,), "loop")

    def _in_turn(self, block: list[ast.stmt]) -> None:
        """Statements in a row, each awaiting something that needs none of the others."""
        run: list[ast.Call] = []
        names: set[str] = set()
        for statement in [*block, ast.Pass()]:
            call = self._reading(statement)
            if call is not None and isinstance(statement, ast.Assign):
                if run and not names_read(call) & names:
                    run.append(call)
                else:
                    self._report(run)
                    run, names = [call], set()
                names |= {
                    one.id
                    for target in statement.targets
                    for one in ast.walk(target)
                    if isinstance(one, ast.Name)
                }
            else:
                self._report(run)
                run, names = [], set()

    def _reading(self, statement: ast.stmt) -> ast.Call | None:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Await):
            return None
        call = statement.value.value
        if not isinstance(call, ast.Call):
            return None
        name = self.tail_of(call)
        receiver = spelled(call.func).rpartition(".")[0]
        if not _READS.search(name) or _IN_ORDER.search(name) or _CONNECTION.search(receiver):
            return None
        arguments = {spelled(one) for one in call.args}
        return None if any(one and _CONNECTION.search(one) for one in arguments) else call

    def _report(self, run: list[ast.Call]) -> None:
        if len(run) > 1:
            values = tuple(self._quiet(call.func) for call in run)
            self.pattern("sequential-awaits", run[0], values, "row")

    # What is started at once

    def _gathers(self, node: ast.AsyncFunctionDef) -> None:
        grown = _grown(node)
        bounded = any(
            isinstance(one, ast.Name) and re.search("sem|limit", one.id, re.IGNORECASE)
            for one in ast.walk(node)
        ) or any("sem" in spelled(one).lower() for one in ast.walk(node))
        if bounded:
            return
        for one in inside(node.body):
            if isinstance(one, ast.Call) and self.tail_of(one) in ("gather", "wait"):
                for arg in one.args:
                    inner = arg.value if isinstance(arg, ast.Starred) else arg
                    named = grown.get(inner.id) if isinstance(inner, ast.Name) else None
                    made = named or _mapped(inner)
                    if made is not None:
                        values = (self._quiet(one.func), self._quiet(made))
                        self.pattern("unbounded-gather", one, values)
                        break

    # What counts long

    def _counting(self, node: ast.AsyncFunctionDef) -> None:
        for one in inside(node.body):
            if isinstance(one, ast.For) and not contains_await(one.body):
                turns = _turns(one.iter)
                for inner in inside(one.body):
                    if isinstance(inner, ast.For):
                        turns = max(turns, turns * _turns(inner.iter))
                if turns >= _MANY:
                    self.pattern("cpu-bound", one)
            elif isinstance(one, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
                turns = 1
                for generator in one.generators:
                    turns *= max(1, _turns(generator.iter))
                if turns >= _MANY:
                    self.pattern("cpu-bound", one)


_OPENERS = words(
    "connect create_pool create_redis_pool create_connection open_connection create_async_engine"
    " from_url create_redis client"
)


def _raised(handler: ast.ExceptHandler) -> str:
    """Say what a handler raises: "again" for what it caught, "other", or "nothing"."""
    found = "nothing"
    for node in inside(handler.body):
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


def _leaving(node: ast.AST, names: set[str]) -> set[str]:
    """Return the names that are closed, or used for more than their attributes."""
    attribute_of: set[int] = set()
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            if one.attr not in CLOSERS or one.attr == "callback":
                attribute_of.add(id(one.value))
        elif (
            isinstance(one, ast.Name)
            and one.id in names
            and isinstance(one.ctx, ast.Load)
            and id(one) not in attribute_of
        ):
            found.add(one.id)
    return found


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


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for one in inside(getattr(node, "body", [])):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(one, name, None)
            if isinstance(block, list) and block and not isinstance(one, ast.Lambda):
                yield block
    yield getattr(node, "body", [])


def _collected(body: list[ast.stmt], name: str) -> bool:
    return any(
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and one.func.attr in ("append", "extend", "add")
        and any(name in names_read(arg) for arg in one.args)
        for one in inside(body)
    )


def _small(node: ast.expr) -> bool:
    """Whether an iterable is as long as the source says."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
        return True
    if isinstance(node, ast.Call) and spelled(node.func) == "range":
        return True
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice)
    name = spelled(node).split(".")[-1]
    return name.isupper() or bool(_PART.search(name))


def _mapped(node: ast.AST) -> ast.expr | None:
    """Return the function that makes one coroutine for each element, if nothing limits how many."""
    if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
        if any(_small(one.iter) for one in node.generators):
            return None
        element: Any = node.elt
        while isinstance(element, ast.Call):
            name = spelled(element.func).rpartition(".")[2]
            if name in ("create_task", "ensure_future", "wait_for", "shield") and element.args:
                element = element.args[0]
            else:
                return element.func
    if isinstance(node, ast.Call) and spelled(node.func) == "map" and node.args:
        return node.args[0]
    return None


def _grown(node: ast.AsyncFunctionDef) -> dict[str, ast.expr]:
    """Return name -> function, for lists of coroutines or tasks, one for each element."""
    found: dict[str, ast.expr] = {}
    for one in inside(node.body):
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            made = _mapped(one.value)
            if made is not None:
                found[one.targets[0].id] = made
        elif isinstance(one, (ast.For, ast.AsyncFor)) and not _small(one.iter):
            for call in inside(one.body):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in ("append", "add")
                    and isinstance(call.func.value, ast.Name)
                    and call.args
                    and isinstance(call.args[0], ast.Call)
                ):
                    made_by = call.args[0]
                    name = spelled(made_by.func).rpartition(".")[2]
                    if name in ("create_task", "ensure_future") and made_by.args:
                        first = made_by.args[0]
                        found[call.func.value.id] = (
                            first.func if isinstance(first, ast.Call) else first
                        )
                    else:
                        found[call.func.value.id] = made_by.func
    return found


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
                if isinstance(a, int) and isinstance(b, int) and a < _MANY and b < 20:  # noqa: PLR2004
                    return int(a**b if isinstance(limit.op, ast.Pow) else a * b)
    return 0
