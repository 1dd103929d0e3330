"""Facts: what a test says about a value where it is true, and where it is false."""

import ast
from typing import NamedTuple

from loopclinic.scanner.facts.fact_records import (
    FALSE,
    NO_STR,
    NO_TEXT,
    NONE,
    NOT_NONE,
    TEXT,
    TRUE,
    guard,
)
from loopclinic.scanner.facts.names import Names
from loopclinic.scanner.facts.syntax_queries import spelled
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.name_sets import words

_TELLING = words("isinstance iscoroutinefunction iscoroutine isawaitable empty full qsize done")
"""Functions and methods that tell what a value is, or whether asking it for something would wait."""
_TEXTS = {frozenset({"str"}): NO_STR, frozenset({"str", "bytes"}): NO_TEXT}


class Learned(NamedTuple):
    """What a test found out: values that it narrows, and the flags of what depends on a parameter."""

    known: dict[Value, Value]
    flags: int


NOTHING = Learned({}, 0)


class Narrowing(Names):
    """Reads tests."""

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
                self.learned(test.left)
                if isinstance(test.ops[0], ast.Gt | ast.GtE)
                else (NOTHING, NOTHING)
            )
        return self._guards(test, TRUE, FALSE)

    def _guards(self, node: ast.expr, true: int, false: int) -> tuple[Learned, Learned]:
        value = self.lookup(node.id) if isinstance(node, ast.Name) else None
        if isinstance(node, ast.Attribute) and spelled(node.value) == "self":
            value = self.scope.settings.get(node.attr)
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
            full: dict[Value, Value] = {}
            if name == "full":
                full[("ready", value, "get")] = value
            return Learned(full, 0), Learned({("ready", value): value}, 0)
        if name in ("qsize", "done"):
            return Learned({("ready", value): value}, 0), NOTHING
        kind: Value = None
        true = false = 0
        if name == "isinstance":
            classes = test.args[1] if test.args[1:] else None
            one_of = classes.elts if isinstance(classes, ast.Tuple) else [classes]
            kind = ("an", ("g", "Union"), tuple(map(self.annotation, one_of)))
            excluded = _TEXTS.get(frozenset(spelled(one) for one in one_of if one is not None))
            if excluded is not None and value[:2] == ("p", self.scope.index):
                true, false = guard(value[2], TEXT), guard(value[2], excluded)
        is_it, is_not = self.make("is", value, kind), self.make("not", value, kind)
        return Learned({value: is_it}, true), Learned({value: is_not}, false)

    def _chained(self, node: ast.expr | None) -> Value:
        """Return the value of a name or a chain of attributes, without an event."""
        if isinstance(node, ast.Name):
            return self._read_name(node)
        base = self._chained(node.value) if isinstance(node, ast.Attribute) else None
        return None if base is None else self.narrowed(self.make("a", base, node.attr))  # type: ignore[union-attr]
