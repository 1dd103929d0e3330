"""The pass over statements: control flow, assignments, `with`, `try`."""

import ast
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.record import (
    AWAITS_INSIDE,
    DISCARDED,
    IN_LOOP,
    IN_MAIN,
    IN_RETRY,
    IN_TIMEOUT,
    Pattern,
)
from loopclinic.scanner.facts.scope import union
from loopclinic.scanner.facts.syntax import contains_await, is_main_guard, names_read, spelled
from loopclinic.scanner.facts.values import Value

__all__ = ["Statements"]

_RETRY = re.compile(r"attempt|retr(y|i)|tries|backoff", re.IGNORECASE)
_DEADLINES = frozenset(
    {"timeout", "timeout_at", "fail_after", "fail_at", "move_on_after", "move_on_at"}
)
_PROXIES = frozenset({"suppress"})


class Statements(Expressions):
    """Reads statements in the current scope."""

    def __init__(self) -> None:
        super().__init__()
        self._statements: dict[type[ast.AST], Callable[[Any], None]] = {
            ast.Expr: self._expression,
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.AugAssign: self._augmented,
            ast.Return: self._return,
            ast.If: self._if,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.While: self._while,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Try: self._try,
            ast.TryStar: self._try,
            ast.Raise: self._raise,
            ast.Match: self._match,
            ast.Global: self._outer,
            ast.Nonlocal: self._outer,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.FunctionDef: self._define,
            ast.AsyncFunctionDef: self._define,
            ast.ClassDef: self.class_,
        }

    @abstractmethod
    def class_(self, node: ast.ClassDef) -> None:
        """Read a class."""

    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Read statements in order."""
        table = self._statements
        for one in statements:
            method = table.get(type(one))
            if method is not None:
                method(one)
            else:
                for child in ast.iter_child_nodes(one):
                    if isinstance(child, ast.expr):
                        self.visit(child)

    def _branch(self, statements: Sequence[ast.stmt], flags: int = 0) -> None:
        if not statements:
            return
        scope = self.scope
        path, before = scope.branch(), scope.flags
        scope.flags |= flags
        self.body(statements)
        scope.path, scope.flags = path, before

    def _expression(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.call(node.value, DISCARDED)
        else:
            self.dropped = node.value
            self.visit(node.value)
            self.dropped = None

    def _assign(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        if isinstance(node.value, (ast.Subscript, ast.BinOp)) and _names_type(node.targets[0]):
            value = self.annotation(node.value)  # DbSession = Annotated[Session, Depends(get_db)]
        self._remember_call(node.targets, node.value)
        for target in node.targets:
            self.bind(target, value)
            self._note_made(target, node.value, value)

    def _note_made(self, target: ast.expr, node: ast.expr, value: Value) -> None:
        """Note where something that outlives this function is made: its line isn't in its value."""
        call = node.value if isinstance(node, ast.Await) else node
        if value is None or not isinstance(call, ast.Call):
            return
        if isinstance(target, ast.Name):
            scope = self.scope
            if scope.class_body is None and (scope.is_module or target.id in scope.outer):
                self.pattern("made", call, (value,), target.id)
        elif isinstance(target, ast.Attribute) and spelled(target.value) in ("self", "cls"):
            self.pattern("made", call, (value,), f"self.{target.attr}")

    def _remember_call(self, targets: list[ast.expr], node: ast.expr) -> None:
        """Note which name alone holds the result of a call, to see later whether it is read."""
        call = node.value if isinstance(node, ast.Await) else node
        scope = self.scope
        if (
            isinstance(call, ast.Call)
            and len(targets) == 1
            and isinstance(targets[0], ast.Name)
            and not scope.is_module
            and scope.class_body is None
            and targets[0].id not in scope.outer
            and scope.events
        ):
            for position in range(len(scope.events) - 1, -1, -1):
                event = scope.events[position]
                if event.line < call.lineno:
                    break
                if (event.op, event.line, event.column) == (
                    "call",
                    call.lineno,
                    call.col_offset + 1,
                ):
                    scope.assigned.append((targets[0].id, position))
                    break

    def _annotated(self, node: ast.AnnAssign) -> None:
        annotation = self.annotation(node.annotation)
        value = self.visit(node.value) if node.value is not None else None
        if annotation is not None:
            declared = self.make("t", annotation)
            value = union([declared, value]) if value is not None else declared
        if node.value is not None:
            self._remember_call([node.target], node.value)
        self.bind(node.target, value)
        if node.value is not None:
            self._note_made(node.target, node.value, value)

    def _augmented(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.lookup(node.target.id)
        else:
            self.visit(node.target)

    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target."""
        if isinstance(target, ast.Name):
            self._bind_name(target.id, value)
        elif isinstance(target, ast.Attribute):
            base = self.visit(target.value)
            if base is not None and base[0] in ("self", "cls"):
                self._member(base[1], target.attr, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for position, one in enumerate(target.elts):
                self.bind(one, self._part(value, position))
        elif isinstance(target, ast.Starred):
            self.bind(target.value, None)
        elif isinstance(target, ast.Subscript):
            base = self.visit(target.value)
            self.visit(target.slice)
            if base is not None and value is not None and base[0] == "a":
                owner = base[1]
                if owner[0] in ("self", "cls"):
                    self._member(owner[1], base[2], self.make("di", (value,)))

    def _part(self, value: Value, position: int) -> Value:
        if value is None:
            return None
        if value[0] == "tu":
            parts = value[1]
            return parts[position] if position < len(parts) else None
        return self.make("n", value, position)

    def _bind_name(self, name: str, value: Value) -> None:
        scope = self.scope
        if scope.class_body is not None:
            self._member(scope.class_body, name, value)
        elif scope.is_module or name in scope.outer:
            found = self.facts.bindings.setdefault(name, [])
            if value is not None and value not in found:
                found.append(value)
        else:
            scope.bind(name, value)

    def _member(self, owner: int, name: str, value: Value) -> None:
        found = self.classes[owner].attributes.setdefault(name, [])
        if value is not None and value not in found:
            found.append(value)

    def _return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.scope.returns.append(self.visit(node.value))

    def _raise(self, node: ast.Raise) -> None:
        for one in (node.exc, node.cause):
            if one is not None:
                self.visit(one)

    def _if(self, node: ast.If) -> None:
        if is_main_guard(node.test):
            self._branch(node.body, IN_MAIN)
        else:
            self._test(node.test)
            self._branch(node.body)
        self._branch(node.orelse)

    def _test(self, node: ast.expr) -> None:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            node = node.operand
        if isinstance(node, ast.Call):
            self.call(node, DISCARDED)  # only whether it is true is asked
        else:
            self.visit(node)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        value = self.visit(node.iter)
        is_async = isinstance(node, ast.AsyncFor)
        self.event("aiter" if is_async else "iter", node.iter, value)
        self.bind(node.target, self.make("I" if is_async else "i", value) if value else None)
        names = names_read(node.iter) | {
            one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)
        }
        self._loop(node.body, names)
        self._branch(node.orelse)

    def _while(self, node: ast.While) -> None:
        self.visit(node.test)
        self._loop(node.body, names_read(node.test))
        self._branch(node.orelse)

    def _loop(self, body: list[ast.stmt], names: set[str]) -> None:
        retry = any(_RETRY.search(name) for name in names)
        self._branch(body, IN_LOOP | (IN_RETRY if retry else 0))

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        scope = self.scope
        before, flags = scope.flags, 0
        is_async = isinstance(node, ast.AsyncWith)
        suspends = not is_async and "async" in scope.traits and contains_await(node.body)
        for item in node.items:
            value = self.visit(item.context_expr)
            name = self.tail_of(item.context_expr)
            if is_async or name in ("fail_after", "move_on_after", "fail_at", "move_on_at"):
                flags |= IN_TIMEOUT if name in _DEADLINES else 0
            if isinstance(item.context_expr, ast.Call) and name in _PROXIES and suspends:
                self._suppressed(node, item.context_expr)
            self.event(
                "awith" if is_async else "with",
                item.context_expr,
                value,
                flags=AWAITS_INSIDE if suspends else 0,
            )
            if item.optional_vars is not None:
                entered = self.make("E" if is_async else "e", value) if value else None
                self.bind(item.optional_vars, entered)
        scope.flags |= flags
        self.body(node.body)
        scope.flags = before

    def _suppressed(self, node: ast.With | ast.AsyncWith, call: ast.Call) -> None:
        self.caught(node, node.body, [self.visit(one) for one in call.args], "suppress")

    @abstractmethod
    def caught(
        self, node: ast.stmt | ast.ExceptHandler, body: list[ast.stmt], types: list[Value], how: str
    ) -> None:
        """Note that these types are caught around an await, and not raised again."""

    @abstractmethod
    def handlers(self, node: ast.Try) -> None:
        """Look at what a `try` around an await catches."""

    def _try(self, node: ast.Try) -> None:
        self.body(node.body)
        if "async" in self.scope.traits and contains_await(node.body):
            self.handlers(node)
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name:
                self.scope.bind(handler.name, None)
            looping = self.scope.flags & IN_LOOP
            self._branch(handler.body, IN_RETRY if looping else 0)
        self._branch(node.orelse)
        self.body(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        value = self.visit(node.subject)
        for case in node.cases:
            if case.guard is not None:
                self.visit(case.guard)
            for one in ast.walk(case.pattern):
                if isinstance(one, ast.MatchAs) and one.name:
                    self._bind_name(one.name, value if one is case.pattern else None)
            self._branch(case.body)

    def _outer(self, node: ast.Global | ast.Nonlocal) -> None:
        if isinstance(node, ast.Global):
            self.scope.outer.update(node.names)

    def _import(self, node: ast.Import) -> None:
        for one in node.names:
            if one.asname:
                name, value = one.asname, self.make("im", one.name)
            else:
                name = one.name.partition(".")[0]
                value = self.make("im", name)
            if self.scope.is_module:
                self.modules.add(name)
            self._bind_name(name, value)

    def _import_from(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            if one.name == "*":
                self.facts.stars.append((node.level, node.module or ""))
                continue
            value = self.make("if", node.level, node.module or "", one.name)
            self._bind_name(one.asname or one.name, value)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        value = self.function(node)
        scope = self.scope
        if scope.class_body is None:
            self._bind_name(node.name, value)

    def pattern(
        self, kind: str, node: ast.AST, values: tuple[Value, ...] = (), note: str = ""
    ) -> None:
        """Note a shape, to be judged when names are resolved."""
        self.facts.patterns.append(
            Pattern(
                kind,
                getattr(node, "lineno", 1),
                getattr(node, "col_offset", 0) + 1,
                self.scope.index,
                values,
                note,
            )
        )


def _names_type(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper()
