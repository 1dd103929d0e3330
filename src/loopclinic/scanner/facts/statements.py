"""The pass over statements: control flow, assignments, `with`, `try`."""

import ast
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from loopclinic.scanner.facts.assignments import Assignments
from loopclinic.scanner.facts.record import (
    AWAITS_INSIDE,
    DISCARDED,
    IN_LOOP,
    IN_MAIN,
    IN_RETRY,
    IN_TIMEOUT,
)
from loopclinic.scanner.facts.syntax import contains_await, is_main_guard, names_in, names_read

__all__ = ["Statements"]

_RETRY = re.compile(r"attempt|retr(y|i)|tries|backoff", re.IGNORECASE)
_DEADLINES = frozenset(
    {"timeout", "timeout_at", "fail_after", "fail_at", "move_on_after", "move_on_at"}
)


class Statements(Assignments):
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
        self._loop(node.body, names_read(node.iter) | names_in(node.target))
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
            if isinstance(item.context_expr, ast.Call) and name == "suppress" and suspends:
                self.suppressed(node, item.context_expr)
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

    @abstractmethod
    def suppressed(self, node: ast.With | ast.AsyncWith, call: ast.Call) -> None:
        """Look at what a `suppress` around an await catches."""

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
                    self.bind_name(one.name, value if one is case.pattern else None)
            self._branch(case.body)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        value = self.function(node)
        scope = self.scope
        if scope.class_body is None:
            self.bind_name(node.name, value)
