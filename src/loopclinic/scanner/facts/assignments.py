"""The pass over what gives names their values: assignments, imports, `global`."""

import ast

from loopclinic.scanner.facts.calls import Calls
from loopclinic.scanner.facts.scope import union
from loopclinic.scanner.facts.syntax import spelled
from loopclinic.scanner.facts.values import Value

__all__ = ["Assignments"]


class Assignments(Calls):
    """Binds names in the current scope."""

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
            for position in reversed(range(len(scope.events))):
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
            self.bind_name(target.id, value)
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

    def bind_name(self, name: str, value: Value) -> None:
        """Assign a value to a name: a class member, a module's own, or a local."""
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
            self.bind_name(name, value)

    def _import_from(self, node: ast.ImportFrom) -> None:
        for one in node.names:
            if one.name == "*":
                self.facts.stars.append((node.level, node.module or ""))
                continue
            value = self.make("if", node.level, node.module or "", one.name)
            self.bind_name(one.asname or one.name, value)


def _names_type(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper()
