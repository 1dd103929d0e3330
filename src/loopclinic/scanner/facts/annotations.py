"""Annotations as values: names, subscripts, `|`, and strings."""

import ast
from abc import ABC, abstractmethod

from loopclinic.scanner.facts.values import Value

__all__ = ["Annotations"]


class Annotations(ABC):
    """Reads annotations; names are looked up by the pass that this is part of."""

    @abstractmethod
    def lookup(self, name: str) -> Value:
        """Return the value of a name as it stands."""

    @abstractmethod
    def visit(self, node: ast.expr) -> Value:
        """Read an expression."""

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
            return None
        args = tuple(self.annotation(item) for item in items)
        return ("an", base, args)
