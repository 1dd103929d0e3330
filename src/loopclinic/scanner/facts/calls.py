"""The pass over calls: what is called, with which arguments, and what is handed on by them."""

import ast
from abc import abstractmethod
from typing import Any

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.words import words

__all__ = ["CLOSERS", "Calls"]

CLOSERS = words(
    "close aclose wait_closed disconnect dispose terminate shutdown stop release cleanup"
    " connection_lost enter_async_context push_async_exit push_async_callback callback"
    " __aexit__ __exit__"
)
"""Methods that end a resource, or hand it to something that will."""

_CONSUMERS = words(
    "list tuple set frozenset dict sum next sorted max min any all enumerate zip map filter"
    " deque islice chain"
)
_KEPT = words(
    "Depends Security partial cast copy deepcopy closing aclosing next iter enter_context"
    " enter_async_context wait_for shield to_thread run_sync run_in_threadpool run_in_executor"
    " create_task ensure_future gather run run_until_complete submit sync_to_async async_to_sync"
    " list tuple set sorted reversed map filter enumerate wraps contextmanager NewType getattr"
    " asynccontextmanager run_coroutine_threadsafe Queue LifoQueue PriorityQueue property"
    " cached_property lru_cache cache result retry wrap"
)
"""Calls whose result depends on their arguments."""
_BY_CONSTANTS = words(
    "Queue LifoQueue PriorityQueue JoinableQueue AsyncClient ClientTimeout ClientSession Timeout"
    " socket socketpair from_url Redis"
)


class Calls(Expressions):
    """Reads calls in the current scope."""

    @abstractmethod
    def opened_in_passing(self, node: ast.Call, value: Value) -> None:
        """Note that something is made, used once, and dropped."""

    def call(self, node: ast.Call, flags: int = 0) -> Value:
        """Read a call, and note it."""
        func = node.func
        name = ""
        if isinstance(func, ast.Name):
            name = func.id
            callee = self._super() if name == "super" and not node.args else self.lookup(name)
            if callee is not None and callee[0] == "super":
                return callee
        elif isinstance(func, ast.Attribute):
            name = func.attr
            base = self.visit(func.value)
            callee = self.make("a", base, name) if base is not None else None
            self._closing(name, base)
            if isinstance(func.value, ast.Call) and base is not None and name not in CLOSERS:
                self.opened_in_passing(func.value, base)
        elif isinstance(func, ast.Call):
            callee = self.call(func)
        else:
            callee = self.visit(func)
        args, consts = self._arguments(node)
        if callee is None:
            self.scope.unresolved += 1
            return None
        self.event("call", node, callee, args, consts, flags)
        if name == "run" and self._runs_loop(callee):
            self.facts.loop_runs += 1
        if name in _CONSUMERS:
            for _, value in args:
                if value is not None and value[0] == "c":
                    self.event("iter", node, value)
        elif callee[0] == "if":
            name = callee[3]
        return self.make(
            "c",
            callee,
            args if name in _KEPT else (),
            consts if name in _BY_CONSTANTS else (),
        )

    def _runs_loop(self, callee: tuple[Any, ...]) -> bool:
        if callee[0] == "g":
            return ("if", 0, "asyncio", "run") in self.facts.bindings.get(callee[1], ())
        if callee[0] == "if":
            return callee == ("if", 0, "asyncio", "run")
        base = callee[1] if callee[0] == "a" else None
        if base is not None and base[0] == "g":
            return ("im", "asyncio") in self.facts.bindings.get(base[1], ())
        return base == ("im", "asyncio")

    def _super(self) -> Value:
        owner = self.scope.owning_class
        return self.make("super", owner) if owner is not None else None

    def _arguments(
        self, node: ast.Call
    ) -> tuple[tuple[tuple[int | str, Value], ...], tuple[tuple[int | str, Any], ...]]:
        args: list[tuple[int | str, Value]] = []
        consts: list[tuple[int | str, Any]] = []
        for position, arg in enumerate(node.args):
            if isinstance(arg, ast.Constant):
                if arg.value is None or isinstance(arg.value, (bool, int, float)):
                    consts.append((position, arg.value))
                continue
            value = self.visit(arg)
            if value is not None and not isinstance(arg, ast.Starred):
                args.append((position, value))
                self._escapes(value)
        for keyword in node.keywords:
            name = keyword.arg or "**"
            if isinstance(keyword.value, ast.Constant):
                if keyword.value.value is None or isinstance(
                    keyword.value.value, (bool, int, float)
                ):
                    consts.append((name, keyword.value.value))
                continue
            value = self.visit(keyword.value)
            args.append((name, value))
            self._escapes(value)
        return tuple(args), tuple(consts)

    def _closing(self, name: str, base: Value) -> None:
        if name in CLOSERS and base is not None and base[0] == "a":
            self._escapes(base)

    def _escapes(self, value: Value) -> None:
        """Note that `self.x` is closed, or handed to something that may close it."""
        if value is None or value[0] not in ("a", "ls", "tu"):
            return
        if value[0] != "a":
            for one in value[1]:
                self._escapes(one)
            return
        base = value[1]
        if base[0] in ("self", "cls"):
            owner = self.classes[base[1]]
            if value[2] not in owner.closed:
                self.classes[base[1]] = owner._replace(closed=(*owner.closed, value[2]))
