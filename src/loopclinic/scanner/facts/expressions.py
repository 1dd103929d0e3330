"""The pass over expressions: what each one is worth, and the events it causes."""

import ast
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from loopclinic.scanner.facts.annotations import Annotations
from loopclinic.scanner.facts.record import AWAITED, DISCARDED, Class, Event, Facts, Pattern
from loopclinic.scanner.facts.scope import Scope, union
from loopclinic.scanner.facts.syntax import collected
from loopclinic.scanner.facts.values import FINITE, Value, tail

__all__ = ["Expressions"]


class Expressions(Annotations):
    """Reads expressions in the current scope."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.classes: list[Class] = self.facts.classes
        self.scope = Scope(0, "<module>", "<module>", 1)
        self.modules: set[str] = set()
        """Names that hold imported modules: reading their attributes is no event."""
        self._interned: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._visits: dict[type[ast.AST], Callable[[Any], Value]] = {
            ast.Name: self._name,
            ast.Constant: self._constant,
            ast.Attribute: self._attribute,
            ast.Call: self.call,
            ast.Await: self._await,
            ast.BinOp: self._binary,
            ast.BoolOp: self._bool,
            ast.IfExp: self._conditional,
            ast.NamedExpr: self._named,
            ast.Subscript: self._subscript,
            ast.Lambda: self.function,
            ast.ListComp: self._comprehension,
            ast.SetComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.DictComp: self._comprehension,
            ast.Tuple: self._tuple,
            ast.List: self._elements,
            ast.Set: self._elements,
            ast.Dict: self._dict,
            ast.Yield: self._yield,
            ast.YieldFrom: self._yield_from,
            ast.Starred: self._starred,
        }

    @abstractmethod
    def function(self, node: Any) -> Value:
        """Read a function or lambda; return the value that names it."""

    @abstractmethod
    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a target."""

    @abstractmethod
    def call(self, node: ast.Call, flags: int = 0) -> Value:
        """Read a call, and note it."""

    def make(self, *parts: Any) -> tuple[Any, ...]:
        """Return a value, the same object for the same parts."""
        try:
            return self._interned.setdefault(parts, parts)
        except TypeError:  # an argument that can't be hashed
            return parts

    def visit(self, node: ast.expr) -> Value:
        """Read an expression."""
        method = self._visits.get(type(node))
        if method is not None:
            return method(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.visit(child)
            elif isinstance(
                child, ast.comprehension
            ):  # pragma: no cover - comprehensions are above
                self.visit(child.iter)
        return None

    def event(  # noqa: PLR0917 - an event has that many parts
        self,
        op: str,
        node: ast.expr,
        value: Value,
        args: tuple[tuple[int | str, Value], ...] = (),
        consts: tuple[tuple[int | str, Any], ...] = (),
        flags: int = 0,
    ) -> None:
        """Note an event at a node."""
        self.scope.emit(
            Event(
                op, node.lineno, node.col_offset + 1, value, args, consts, flags | self.scope.flags
            )
        )

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

    def _name(self, node: ast.Name) -> Value:
        return self.lookup(node.id)

    def _constant(self, node: ast.Constant) -> Value:
        kind = type(node.value)
        if kind is str or kind is bytes:
            return self.make("k", kind.__name__)
        return None

    def _attribute(self, node: ast.Attribute) -> Value:
        base = self.visit(node.value)
        if base is None:
            return None
        value = self.make("a", base, node.attr)
        root = node.value
        if (
            base[0] != "im"
            and base[0] != "k"
            and not (isinstance(root, ast.Name) and root.id in self.modules)
            and isinstance(node.ctx, ast.Load)
        ):
            self.event("attr", node, value)
        return value

    def _await(self, node: ast.Await) -> Value:
        if isinstance(node.value, ast.Call):
            inner = self.call(node.value, AWAITED | self._dropped(node))
        else:
            inner = self.visit(node.value)
        return self.make("w", inner) if inner is not None else None

    dropped: ast.expr | None = None
    """The expression whose value the current statement drops."""

    def _dropped(self, node: ast.expr) -> int:
        return DISCARDED if node is self.dropped else 0

    def _binary(self, node: ast.BinOp) -> Value:
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

    def _bool(self, node: ast.BoolOp) -> Value:
        return union([self.visit(one) for one in node.values])

    def _conditional(self, node: ast.IfExp) -> Value:
        self.visit(node.test)
        return union([self.visit(node.body), self.visit(node.orelse)])

    def _named(self, node: ast.NamedExpr) -> Value:
        value = self.visit(node.value)
        self.bind(node.target, value)
        return value

    def _subscript(self, node: ast.Subscript) -> Value:
        base = self.visit(node.value)
        self.visit(node.slice)
        return self.make("s", base) if base is not None else None

    def _comprehension(
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
        result = self.make(shape, (self.visit(element),))
        self.scope.names = before
        return result

    def _bind_inside(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.scope.names[target.id] = (value, self.scope.path)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for one in target.elts:
                self._bind_inside(one, None)

    def _starred(self, node: ast.Starred) -> Value:
        return self.visit(node.value)

    def _tuple(self, node: ast.Tuple) -> Value:
        values = [self.visit(one) for one in node.elts]
        return self.make("tu", tuple(values[: 2 * FINITE]))

    def _elements(self, node: ast.List | ast.Set) -> Value:
        return self.make("ls", self._some(node.elts))

    def _dict(self, node: ast.Dict) -> Value:
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

    def _yield(self, node: ast.Yield) -> Value:
        self._generates()
        if node.value is not None:
            self.scope.yields.append(self.visit(node.value))
        return None

    def _yield_from(self, node: ast.YieldFrom) -> Value:
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
