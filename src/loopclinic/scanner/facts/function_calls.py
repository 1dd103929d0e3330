"""Facts: calls of functions and methods, with the arguments that may matter."""

import ast
from typing import Any

from loopclinic.scanner.facts.entry_points import INCLUDING, ROUTING, included, registered
from loopclinic.scanner.facts.fact_records import ONCE_A_KEY, given
from loopclinic.scanner.facts.narrowing import Narrowing
from loopclinic.scanner.facts.syntax_queries import is_address, spelled
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.name_sets import words

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
_MEASURES = words("len int float str bool print round abs")
"""Functions to which a coroutine is of no use."""
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
    " socket socketpair from_url Redis APIRouter Blueprint"
)
_OPENERS = words(
    "connect create_pool create_redis_pool create_connection open_connection create_async_engine"
    " from_url create_redis client"
)
_MAKING = words("mkdir makedirs")
_REPLACED = ("connect", "socket")
_HOLDING = ("a", "ls", "tu")
"""Tags of values that may be attributes, or hold some."""


class FunctionCalls(Narrowing):
    """Reads calls."""

    def call(self, node: ast.Call, flags: int = 0) -> Value:
        """Read a call, and note it."""
        func = node.func
        name = ""
        if isinstance(func, ast.Name):
            name = func.id
            callee = self._super() if name == "super" and not node.args else self._read_name(func)
            if callee is not None and callee[0] == "super":
                return callee
        elif isinstance(func, ast.Attribute):
            name = func.attr
            base = self.visit(func.value)
            callee = self.narrowed(self.make("a", base, name)) if base is not None else None
            self._closing(name, base)
            made = func.value if base is not None and name not in CLOSERS else None
            if isinstance(made, ast.Call) and self.opens(made):  # it is used once, and dropped
                self.pattern("unclosed-resource", made, (base,), self.tail_of(made))
        elif isinstance(func, ast.Call):
            callee = self.call(func)
        else:
            callee = self.visit(func)
        args, consts = self._arguments(node)
        if callee is None:
            self.scope.unresolved += 1
            return None
        known = self.scope.known if isinstance(func, ast.Attribute) else {}
        if known and (("ready", base) in known or ("ready", base, name) in known):
            consts += (("block", False),)
        stand_in = self._stand_in(name, node) if name in _REPLACED else ""
        if stand_in == "memory":
            return self.make("k", stand_in)
        if node.args:
            spread = ast.Starred in [one.__class__ for one in node.args]
            flags |= given(len(node.args), spread=spread)
        self.event("call", node, callee, args, consts, flags)
        if name in _MAKING:
            self._tidied(base if name == "mkdir" else dict(args).get(0))
        if name in ROUTING or name in INCLUDING:
            self._note_routes(name, node, callee[1] if callee[0] == "a" else None, args)
        if name == "run" and self._runs_loop(callee):
            self.facts.loop_runs += 1
            self.pattern("runs-loop", node, (), " ".join(map(str, self.scope.path)))
        if name in _CONSUMERS:
            for _, value in args:
                if value is not None and value[0] == "c":
                    self.event("iter", node, value)
        elif name in _MEASURES and callee == ("g", name):
            for position, value in args:
                if isinstance(position, int):
                    self.used(node.args[position], value)
        elif callee[0] == "if":
            name = callee[3]
        if stand_in:
            return self.make("k", stand_in)
        args = args if name in _KEPT else ()
        if consts and name not in _BY_CONSTANTS:
            consts = tuple(one for one in consts if one[1] is True or one[1] is False)
        return self.make("c", callee, args, consts)

    _read_call = call

    def _tidied(self, folder: Value) -> None:
        """Note of a folder that is made here that it was removed before, if it was there at all."""
        events = self.scope.events
        for at, one in enumerate(events):
            missing = (1, True) in one.consts or ("ignore_errors", True) in one.consts
            if missing and tail(one.value) == "rmtree" and dict(one.args).get(0) == folder:
                events[at] = one._replace(flags=one.flags | ONCE_A_KEY)

    def _note_routes(
        self, name: str, node: ast.Call, router: Value, args: tuple[tuple[int | str, Value], ...]
    ) -> None:
        if name in ROUTING and (route := registered(node, name)):
            for _, value in args:
                self.pattern("route", node, (value, router), route)
        if name in INCLUDING:
            prefix, inner = included(node)
            routers = [self.quietly(one) for one in inner if not isinstance(one, ast.Constant)]
            self.pattern("includes", node, (router, *routers), prefix)

    def opens(self, node: ast.Call) -> bool:
        """Return whether a call may give something that is to be closed."""
        name = self.tail_of(node)
        return name[:1].isupper() or name in _OPENERS

    def _runs_loop(self, callee: tuple[Any, ...]) -> bool:
        of_module = callee[0] == "a"
        named = callee[1] if of_module else callee
        values = self.facts.bindings.get(named[1], ()) if named[0] == "g" else (named,)
        return (("im", "asyncio") if of_module else ("if", 0, "asyncio", "run")) in values

    def _super(self) -> Value:
        owner = self.scope.owning_class
        return self.make("super", owner) if owner is not None else None

    def _arguments(
        self, node: ast.Call
    ) -> tuple[tuple[tuple[int | str, Value], ...], tuple[tuple[int | str, Any], ...]]:
        args: list[tuple[int | str, Value]] = []
        consts: list[tuple[int | str, Any]] = []
        given: list[tuple[int | str, ast.expr]] = [*enumerate(node.args)]
        if node.keywords:
            given += [(one.arg or "**", one.value) for one in node.keywords]
        for key, arg in given:
            if isinstance(arg, ast.Constant) and not is_address(arg.value):
                if arg.value is None or isinstance(arg.value, (bool, int, float)):
                    consts.append((key, arg.value))
                elif isinstance(key, str):
                    told = key in ("prefix", "url_prefix") and isinstance(arg.value, str)
                    consts.append((key, arg.value if told else "s"))
                continue
            value = self.visit(arg)
            if isinstance(key, str) or value is not None:
                args.append(("*" if isinstance(arg, ast.Starred) else key, value))
                if value is not None and value[0] in _HOLDING:
                    self._escapes(value)
        return tuple(args), tuple(consts)

    def _closing(self, name: str, base: Value) -> None:
        if name in CLOSERS and base is not None and base[0] == "a":
            self._escapes(base)

    def _escapes(self, value: Value) -> None:
        """Note that `self.x` is closed, or handed to something that may close it."""
        if value is None or value[0] not in _HOLDING:
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

    def _stand_in(self, name: str, node: ast.Call) -> str:
        """Return what something is that waits less than others of its class: a database in memory, a datagram socket."""
        first = node.args[0] if node.args else None
        if name == "connect" and isinstance(first, ast.Constant) and first.value == ":memory:":
            return "memory"
        given = [*node.args, *(one.value for one in node.keywords)] if name == "socket" else ()
        asked = [value for event in self.scope.events for _, value in event.args] if given else ()
        datagram = any(spelled(one).endswith("SOCK_DGRAM") for one in given) or any(
            tail(value) == "SOCK_DGRAM" for value in asked
        )
        return "datagram" if datagram else ""
