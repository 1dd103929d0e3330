"""Facts: the value of each expression, and the events that it causes."""

import ast
from collections.abc import Iterable

from loopclinic.scanner.facts.fact_records import AWAITED, DISCARDED, FOR_EACH, LOOP_AWAITS
from loopclinic.scanner.facts.function_calls import FunctionCalls
from loopclinic.scanner.facts.function_scope import union
from loopclinic.scanner.facts.syntax_queries import collected, contains_await, is_address
from loopclinic.scanner.facts.values import FINITE, Value


class Expressions(FunctionCalls):
    """Reads expressions in the current scope."""

    def _read_constant(self, node: ast.Constant) -> Value:
        kind = type(node.value)
        if kind is str or kind is bytes:
            return self.make("k", "address" if is_address(node.value) else kind.__name__)
        return None

    def _read_attribute(self, node: ast.Attribute) -> Value:
        base = self.visit(node.value)
        if base is None:
            return None
        value, root = self.narrowed(self.make("a", base, node.attr)), node.value
        if (
            base[0] != "im"
            and base[0] != "k"
            and not (isinstance(root, ast.Name) and root.id in self.modules)
            and node.ctx.__class__ is ast.Load
        ):
            self.event("attr", node, value)
        return value

    def _read_lambda(self, node: ast.Lambda) -> Value:
        return self.function(node)

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

    def _read_joinedstr(self, node: ast.JoinedStr) -> None:
        for one in node.values:
            if one.__class__ is not ast.Constant:
                self.visit(one)

    def _read_unaryop(self, node: ast.UnaryOp) -> None:
        self.visit(node.operand)

    def _read_slice(self, node: ast.Slice) -> None:
        for one in (node.lower, node.upper, node.step):
            if one is not None:
                self.visit(one)

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
        element, flags = collected(node), self.scope.flags
        self.scope.flags |= FOR_EACH | (LOOP_AWAITS if contains_await([element]) else 0)
        if isinstance(node, ast.DictComp) and element is not node.key:
            self.visit(node.key)
        shape = "di" if isinstance(node, ast.DictComp) else "ls"
        result = self.make(shape, (self._part_of(node, element),))
        self.scope.names, self.scope.flags = before, flags
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
