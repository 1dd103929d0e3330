"""Facts: the value of each expression, annotation and call, and the events that they cause."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from loopclinic.scanner.facts.entry_points import INCLUDING, ROUTING, included, registered
from loopclinic.scanner.facts.fact_records import (
    AWAITED,
    DISCARDED,
    FALSE,
    NONE,
    NOT_NONE,
    TRUE,
    Class,
    Event,
    Facts,
    Pattern,
    given,
    guard,
)
from loopclinic.scanner.facts.function_scope import Scope, union
from loopclinic.scanner.facts.syntax_queries import collected, spelled
from loopclinic.scanner.facts.values import FINITE, Value, tail
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
_TELLING = words("isinstance iscoroutinefunction iscoroutine isawaitable empty full qsize done")
"""Functions and methods that tell what a value is, or whether asking it for something would wait."""


class Learned(NamedTuple):
    """What a test found out: values that it narrows, and the flags of what depends on a parameter."""

    known: dict[Value, Value]
    flags: int


NOTHING = Learned({}, 0)


class Expressions(ABC):
    """Reads expressions in the current scope: `_read_call` reads an `ast.Call`, and so on."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.classes: list[Class] = self.facts.classes
        self.scope = Scope(0, "<module>", "<module>", 1)
        self.modules: set[str] = set()
        """Names that hold imported modules: reading their attributes is no event."""
        self._interned: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._methods: dict[type[ast.AST], Callable[[Any], Any]] = {
            kind: getattr(self, f"_read_{kind.__name__.lower()}")
            for kind in (*ast.expr.__subclasses__(), *ast.stmt.__subclasses__())
            if hasattr(self, f"_read_{kind.__name__.lower()}")
        }

    @abstractmethod
    def function(self, node: Any) -> Value:
        """Read a function or lambda; return the value that names it."""

    @abstractmethod
    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target."""

    def make(self, *parts: Any) -> tuple[Any, ...]:
        """Return a value, the same object for the same parts."""
        try:
            return self._interned.setdefault(parts, parts)
        except TypeError:  # an argument that can't be hashed
            return parts

    def visit(self, node: ast.expr) -> Value:
        """Read an expression."""
        method = self._methods.get(type(node))
        if method is not None:
            return method(node)  # type: ignore[no-any-return]
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.visit(child)
        return None

    def event(  # noqa: PLR0917 - an event has that many parts
        self,
        op: str,
        node: ast.expr | ast.stmt,
        value: Value,
        args: tuple[tuple[int | str, Value], ...] = (),
        consts: tuple[tuple[int | str, Any], ...] = (),
        flags: int = 0,
    ) -> None:
        """Note an event at a node."""
        line, column = node.lineno, node.col_offset + 1
        self.scope.emit(Event(op, line, column, value, args, consts, flags | self.scope.flags))

    def pattern(
        self, kind: str, node: ast.AST, values: tuple[Value, ...] = (), note: str = ""
    ) -> None:
        """Note a shape, to be judged when names are resolved."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        self.facts.patterns.append(Pattern(kind, line, column, self.scope.index, values, note))

    def used(self, node: ast.expr, value: Value) -> None:
        """Note that something is done with the result of a call that can't be done with a coroutine."""
        if value is not None and value[0] == "c":
            self.pattern("used-result", node, (value,))

    def quietly(self, node: ast.expr) -> Value:
        """Return the value of an expression without noting events."""
        scope = self.scope
        events, seen = len(scope.events), set(scope.seen)
        value = self.visit(node)
        del scope.events[events:]
        scope.seen = seen
        return value

    def lookup(self, name: str) -> Value:
        """Return the value of a name: the innermost function's that assigns it, else the module's."""
        scope: Scope | None = self.scope
        body = self.scope.class_body
        if body is not None:
            members = self.classes[body]
            if name in members.methods:
                return self.make("fn", members.methods[name])
            if members.attributes.get(name):
                return members.attributes[name][-1]
        while scope is not None and scope.parent is not None:
            if name in scope.names and name not in scope.outer:
                scope.loads.add(name)
                if scope is not self.scope and "closure" not in self.scope.traits:
                    self.scope.traits.append("closure")
                return scope.names[name][0]
            scope = scope.parent
        return self.make("g", name)

    def _read_name(self, node: ast.Name) -> Value:
        return self.narrowed(self.lookup(node.id))

    def narrowed(self, value: Value) -> Value:
        """Return a value as the tests around have found it to be."""
        return self.scope.known.get(value, value) if self.scope.known else value

    def _read_constant(self, node: ast.Constant) -> Value:
        kind = type(node.value)
        if kind is str or kind is bytes:
            return self.make("k", kind.__name__)
        return None

    def _read_attribute(self, node: ast.Attribute) -> Value:
        base = self.visit(node.value)
        if base is None:
            return None
        value = self.narrowed(self.make("a", base, node.attr))
        root = node.value
        if (
            base[0] != "im"
            and base[0] != "k"
            and not (isinstance(root, ast.Name) and root.id in self.modules)
            and isinstance(node.ctx, ast.Load)
        ):
            self.event("attr", node, value)
        return value

    def _read_lambda(self, node: ast.Lambda) -> Value:
        return self.function(node)

    def _read_call(self, node: ast.Call) -> Value:
        return self.call(node)

    def _read_await(self, node: ast.Await) -> Value:
        if isinstance(node.value, ast.Call):
            inner = self.call(node.value, AWAITED | self._dropped(node))
        else:
            inner = self.visit(node.value)
        return self.make("w", inner) if inner is not None else None

    dropped: ast.expr | None = None
    """The expression whose value the current statement drops."""

    def _dropped(self, node: ast.expr) -> int:
        return DISCARDED if node is self.dropped else 0

    def _read_binop(self, node: ast.BinOp) -> Value:
        spine: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):  # "a" + "b" + … may be thousands deep
            spine.append(left.right)
            left = left.left
        first = self.visit(left)
        for right in reversed(spine):
            self.visit(right)
        if isinstance(node.op, ast.Div) and first is not None:
            return self.make("d", first)
        return None

    def _read_boolop(self, node: ast.BoolOp) -> Value:
        found: list[Value] = []
        before = self.scope.known
        for one in node.values:
            found.append(self._part_of(node, one) if one is node.values[-1] else self.visit(one))
            found_out = self.learned(one)[isinstance(node.op, ast.Or)].known
            if found_out:
                self.scope.known = self.scope.known | found_out
        self.scope.known = before
        return union(found)

    def _read_ifexp(self, node: ast.IfExp) -> Value:
        self.visit(node.test)
        scope, before, found = self.scope, self.scope.known, []
        for one, what in zip((node.body, node.orelse), self.learned(node.test), strict=True):
            scope.known = before | what.known if what.known else before
            found.append(self._part_of(node, one))
        scope.known = before
        return union(found)

    def learned(self, test: ast.expr) -> tuple[Learned, Learned]:
        """Return what is known where a test is true, and where it is false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            true, false = self.learned(test.operand)
            return false, true
        if isinstance(test, ast.BoolOp):
            parts = [self.learned(one)[isinstance(test.op, ast.Or)] for one in test.values]
            known = {key: value for part in parts for key, value in part.known.items()}
            both = Learned(known, next((part.flags for part in parts if part.flags), 0))
            return (NOTHING, both) if isinstance(test.op, ast.Or) else (both, NOTHING)
        if isinstance(test, ast.Call):
            return self._learned_by_call(test)
        if isinstance(test, ast.Compare):
            is_none = (
                isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
            )
            if is_none and isinstance(test.ops[0], ast.Is):
                return self._guards(test.left, NONE, NOT_NONE)
            if is_none and isinstance(test.ops[0], ast.IsNot):
                return self._guards(test.left, NOT_NONE, NONE)
            return (
                self.learned(test.left) if isinstance(test.ops[0], ast.Gt) else (NOTHING, NOTHING)
            )
        return self._guards(test, TRUE, FALSE)

    def _guards(self, node: ast.expr, true: int, false: int) -> tuple[Learned, Learned]:
        value = self.lookup(node.id) if isinstance(node, ast.Name) else None
        if value is None or value[:2] != ("p", self.scope.index):
            return NOTHING, NOTHING
        return Learned({}, guard(value[2], true)), Learned({}, guard(value[2], false))

    def _learned_by_call(self, test: ast.Call) -> tuple[Learned, Learned]:
        name = test.func.attr if isinstance(test.func, ast.Attribute) else spelled(test.func)
        of = test.args[0] if test.args else getattr(test.func, "value", None)
        value = self._chained(of) if name in _TELLING else None
        if value is None:
            return NOTHING, NOTHING
        if name in ("empty", "full"):
            return NOTHING, Learned({("ready", value): value}, 0)
        if name in ("qsize", "done"):
            return Learned({("ready", value): value}, 0), NOTHING
        kind: Value = None
        if name == "isinstance":
            classes = test.args[1] if test.args[1:] else None
            one_of = classes.elts if isinstance(classes, ast.Tuple) else [classes]
            kind = ("an", ("g", "Union"), tuple(map(self.annotation, one_of)))
        is_it, is_not = self.make("is", value, kind), self.make("not", value, kind)
        return Learned({value: is_it}, 0), Learned({value: is_not}, 0)

    def _chained(self, node: ast.expr | None) -> Value:
        """Return the value of a name or a chain of attributes, without an event."""
        if isinstance(node, ast.Name):
            return self._read_name(node)
        base = self._chained(node.value) if isinstance(node, ast.Attribute) else None
        return None if base is None else self.narrowed(self.make("a", base, node.attr))  # type: ignore[union-attr]

    def _part_of(self, whole: ast.expr, node: ast.expr) -> Value:
        """Read a part of an expression; its value is dropped if that of the whole is."""
        if whole is self.dropped and isinstance(node, ast.Call):
            return self.call(node, DISCARDED)
        return self.visit(node)

    def _read_compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for side, value in zip(sides, [self.visit(one) for one in sides], strict=True):
            if not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
                self.used(side, value)

    def _read_formattedvalue(self, node: ast.FormattedValue) -> None:
        self.used(node.value, self.visit(node.value))
        if node.format_spec is not None:
            self.visit(node.format_spec)

    def _read_namedexpr(self, node: ast.NamedExpr) -> Value:
        value = self.visit(node.value)
        self.bind(node.target, value)
        return value

    def _read_subscript(self, node: ast.Subscript) -> Value:
        base = self.visit(node.value)
        self.visit(node.slice)
        self.used(node.value, base)
        return self.make("s", base) if base is not None else None

    def _read_listcomp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> Value:
        before = dict(self.scope.names)
        for generator in node.generators:
            value = self.visit(generator.iter)
            self.event("aiter" if generator.is_async else "iter", generator.iter, value)
            tag = "I" if generator.is_async else "i"
            self._bind_inside(generator.target, self.make(tag, value) if value else None)
            for test in generator.ifs:
                self.visit(test)
        element = collected(node)
        if isinstance(node, ast.DictComp) and element is not node.key:
            self.visit(node.key)
        shape = "di" if isinstance(node, ast.DictComp) else "ls"
        result = self.make(shape, (self._part_of(node, element),))
        self.scope.names = before
        return result

    _read_setcomp = _read_generatorexp = _read_dictcomp = _read_listcomp

    def _bind_inside(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.scope.names[target.id] = (value, self.scope.path)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for one in target.elts:
                self._bind_inside(one, None)

    def _read_starred(self, node: ast.Starred) -> Value:
        return self.visit(node.value)

    def _read_tuple(self, node: ast.Tuple) -> Value:
        values = [self.visit(one) for one in node.elts]
        return self.make("tu", tuple(values[: 2 * FINITE]))

    def _read_list(self, node: ast.List | ast.Set) -> Value:
        return self.make("ls", self._some(node.elts))

    _read_set = _read_list

    def _read_dict(self, node: ast.Dict) -> Value:
        for key in node.keys:
            if key is not None and not isinstance(key, ast.Constant):
                self.visit(key)
        return self.make("di", self._some(node.values))

    def _some(self, nodes: Iterable[ast.expr]) -> tuple[Value, ...]:
        found: list[Value] = []
        for one in nodes:
            if isinstance(one, ast.Constant):
                continue
            value = self.visit(one)
            if value is not None and len(found) < FINITE and value not in found:
                found.append(value)
        return tuple(found)

    def _read_yield(self, node: ast.Yield) -> Value:
        self._generates()
        if node.value is not None:
            self.scope.yields.append(self.visit(node.value))
        return None

    def _read_yieldfrom(self, node: ast.YieldFrom) -> Value:
        self._generates()
        value = self.visit(node.value)
        self.event("iter", node.value, value)
        if value is not None:
            self.scope.yields.append(self.make("i", value))
        return None

    def _generates(self) -> None:
        if "generator" not in self.scope.traits:
            self.scope.traits.append("generator")

    def tail_of(self, node: ast.expr) -> str:
        """Return the last name that an expression calls or reads."""
        if isinstance(node, ast.Call):
            return self.tail_of(node.func)
        if isinstance(node, ast.Attribute):
            return node.attr
        return tail(self.lookup(node.id)) if isinstance(node, ast.Name) else ""

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
        if isinstance(func, ast.Attribute) and ("ready", base) in self.scope.known:
            consts += (("block", False),)
        stand_in = _stand_in(name, node)
        if stand_in == "memory":
            return self.make("k", stand_in)
        if node.args:
            spread = ast.Starred in map(type, node.args)
            flags |= given(len(node.args), spread=spread)
        self.event("call", node, callee, args, consts, flags)
        if name in ROUTING or name in INCLUDING:
            self._note_routes(name, node, callee[1], args)
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
        given: list[tuple[int | str, ast.expr]] = [*enumerate(node.args)]
        given += [(one.arg or "**", one.value) for one in node.keywords]
        for key, arg in given:
            if isinstance(arg, ast.Constant):
                if arg.value is None or isinstance(arg.value, (bool, int, float)):
                    consts.append((key, arg.value))
                elif isinstance(key, str):
                    told = key in ("prefix", "url_prefix") and isinstance(arg.value, str)
                    consts.append((key, arg.value if told else "s"))
                continue
            value = self.visit(arg)
            if isinstance(key, str) or (value is not None and not isinstance(arg, ast.Starred)):
                args.append((key, value))
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

    def annotation(self, node: ast.expr | None) -> Value:
        """Return what an annotation names, or None."""
        if node is None:
            return None
        if isinstance(node, ast.Name):
            return self.lookup(node.id)
        if isinstance(node, ast.Attribute):
            base = self.annotation(node.value)
            return ("a", base, node.attr) if base is not None else None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return self.annotation(ast.parse(node.value.strip(), mode="eval").body)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [self.annotation(node.left), self.annotation(node.right)]
            return ("an", ("g", "Union"), tuple(side for side in sides if side is not None))
        if isinstance(node, ast.Subscript):
            return self._subscripted(node)
        if isinstance(node, ast.Call):
            return self.visit(node)
        return None

    def _subscripted(self, node: ast.Subscript) -> Value:
        base = self.annotation(node.value)
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        name = node.value.attr if isinstance(node.value, ast.Attribute) else ""
        if isinstance(node.value, ast.Name):
            name = node.value.id
        if name == "Literal":
            return self.make(
                "lit", tuple(one.value for one in items if isinstance(one, ast.Constant))
            )
        args = tuple(self.annotation(item) for item in items)
        return ("an", base, args)


def _stand_in(name: str, node: ast.Call) -> str:
    """Return what something is that waits less than others of its class: a database in memory, a datagram socket."""
    first = node.args[0] if node.args else None
    if name == "connect" and isinstance(first, ast.Constant) and first.value == ":memory:":
        return "memory"
    given = [*node.args, *(one.value for one in node.keywords)] if name == "socket" else ()
    return "datagram" if any(spelled(one).endswith("SOCK_DGRAM") for one in given) else ""
