"""Facts: what names and annotations stand for, and the events and shapes that are noted."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

from loopclinic.scanner.facts.fact_records import Class, Facts, Pattern
from loopclinic.scanner.facts.function_scope import Scope
from loopclinic.scanner.facts.values import Value, tail


@cache
def _methods(reader: type) -> dict[type[ast.AST], Callable[[Any, Any], Any]]:
    """Return the method of a reader for each type of node."""
    kinds = (*ast.expr.__subclasses__(), *ast.stmt.__subclasses__())
    names = {kind: f"_read_{kind.__name__.lower()}" for kind in kinds}
    return {kind: getattr(reader, name) for kind, name in names.items() if hasattr(reader, name)}


class Names(ABC):
    """Knows the values of names in the current scope; a method `_read_name` reads an `ast.Name`, and so on."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.classes: list[Class] = self.facts.classes
        self.scope = Scope(0, "<module>", "<module>", 1)
        self.modules: set[str] = set()
        """Names that hold imported modules: reading their attributes is no event."""
        self.class_node: ast.ClassDef | None = None
        """The class whose body is read now."""
        self._interned: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._methods = _methods(type(self))

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
        method = self._methods.get(node.__class__)
        if method is not None:
            return method(self, node)  # type: ignore[no-any-return]
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
        scope = self.scope
        place = (node.lineno, node.col_offset + 1)
        scope.emit((op, *place, value, args, consts, flags | scope.flags))

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

    def narrowed(self, value: Value) -> Value:
        """Return a value as the tests around have found it to be."""
        return self.scope.known.get(value, value) if self.scope.known else value

    def _read_name(self, node: ast.Name) -> Value:
        return self.narrowed(self.lookup(node.id))

    def tail_of(self, node: ast.expr) -> str:
        """Return the last name that an expression calls or reads."""
        if isinstance(node, ast.Call):
            return self.tail_of(node.func)
        if isinstance(node, ast.Attribute):
            return node.attr
        return tail(self.lookup(node.id)) if isinstance(node, ast.Name) else ""

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
