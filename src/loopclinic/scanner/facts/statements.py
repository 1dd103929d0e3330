"""Facts: statements, such as control flow, `with`, `try`, assignments and imports."""

import ast
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import (
    ANY_GUARD,
    AWAITS_INSIDE,
    DISCARDED,
    ENTERED,
    GIVEN,
    HANDLING,
    IN_LOCK,
    IN_LOOP,
    IN_MAIN,
    IN_RETRY,
    IN_TIMEOUT,
    LOOP_AWAITS,
    given,
)
from loopclinic.scanner.facts.function_scope import Scope, union
from loopclinic.scanner.facts.narrowing import NOTHING, Learned
from loopclinic.scanner.facts.patterns import swallowed_errors
from loopclinic.scanner.facts.patterns.kept_results import fallback, kept, rarely
from loopclinic.scanner.facts.patterns.racy_initialization import is_locked
from loopclinic.scanner.facts.syntax_queries import (
    contains_await,
    is_main_guard,
    names_in,
    names_read,
    searches,
    spelled,
)
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.name_sets import words

_RETRY = re.compile(r"attempt|retr(y|i)|tries|backoff", re.IGNORECASE)
_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_SCOPES = words("fail_after fail_at move_on_after move_on_at")
_DEADLINES = _SCOPES | {"timeout", "timeout_at"}


class Statements(Expressions):
    """Reads statements in the current scope."""

    @abstractmethod
    def class_(self, node: ast.ClassDef) -> None:
        """Read a class."""

    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Read statements in order."""
        known, flags = self.scope.known, self.scope.flags
        for one in statements:
            method = self._methods.get(one.__class__)
            if method is not None:
                method(self, one)
            elif one._fields:
                for child in ast.iter_child_nodes(one):
                    if isinstance(child, ast.expr):
                        self.visit(child)
        self.scope.known, self.scope.flags = known, flags

    def _branch(
        self, statements: Sequence[ast.stmt], flags: int = 0, learned: Learned = NOTHING
    ) -> None:
        if not statements:
            return
        scope = self.scope
        path = scope.branch(leaves=isinstance(statements[-1], _LEAVING))
        before, known = scope.flags, scope.known
        self._learn(learned)
        scope.flags |= flags
        self.body(statements)
        scope.path, scope.flags, scope.known = path, before, known

    def _learn(self, what: Learned) -> None:
        """Note what a test has found out, for the statements from here on."""
        scope = self.scope
        if what.known:
            scope.known = scope.known | what.known
        if what.flags and not scope.flags & ANY_GUARD:
            scope.flags |= what.flags

    def _read_expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.call(node.value, DISCARDED)
        else:
            self.dropped = node.value
            self.visit(node.value)
            self.dropped = None

    def _read_return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.scope.returns.append(self.visit(node.value))

    def _read_raise(self, node: ast.Raise) -> None:
        for one in (node.exc, node.cause):
            if one is not None:
                self.visit(one)

    def _read_if(self, node: ast.If) -> None:
        if is_main_guard(node.test):
            self._branch(node.body, IN_MAIN)
            self._branch(node.orelse)
            return
        self._test(node.test)
        true, false = self.learned(node.test)
        within, behind = kept(self, node)
        if_true, if_false = rarely(self, node.test)
        if (
            self.scope.flags & IN_LOOP
            and "async" in self.scope.traits
            and contains_await(node.body)
        ):
            within |= LOOP_AWAITS
        self._branch(node.body, within | if_true, learned=true)
        self._branch(node.orelse, if_false, learned=false)
        if isinstance(node.body[-1], _LEAVING):
            self._learn(false)
            self.scope.flags |= behind | if_false

    def _read_assert(self, node: ast.Assert) -> None:
        self.visit(node.test)
        self._learn(self.learned(node.test)[0])

    def _test(self, node: ast.expr) -> None:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            node = node.operand
        if isinstance(node, ast.Call):
            self.call(node, DISCARDED)  # only whether it is true is asked
        else:
            self.visit(node)

    def _read_for(self, node: ast.For | ast.AsyncFor) -> None:
        is_async = isinstance(node, ast.AsyncFor)
        if "async" in self.scope.traits and isinstance(node.iter, ast.Call):
            value = self.call(node.iter, AWAITS_INSIDE if contains_await(node.body) else 0)
        else:
            value = self.visit(node.iter)
        self.event("aiter" if is_async else "iter", node.iter, value)
        self.bind(node.target, self.make("I" if is_async else "i", value) if value else None)
        first = next(iter(getattr(node.iter, "args", ())), None)
        if isinstance(first, ast.Lambda) and self.tail_of(node.iter) == "iter":
            self._loop([ast.Expr(first.body)], set())  # each turn calls it
        one_of = isinstance(node, ast.For) and searches(node)  # only its last turn reads anything
        names = names_read(node.iter) | names_in(node.target)
        self._loop(node.body, names, turns=not one_of, awaits=is_async)
        self._branch(node.orelse)

    _read_asyncfor = _read_for

    def _read_while(self, node: ast.While) -> None:
        self.scope.flags, before = self.scope.flags | IN_LOOP, self.scope.flags
        self.visit(node.test)
        self.scope.flags = before
        self._loop(node.body, names_read(node.test), self.learned(node.test)[0])
        self._branch(node.orelse)

    def _loop(
        self,
        body: list[ast.stmt],
        names: set[str],
        learned: Learned = NOTHING,
        *,
        turns: bool = True,
        awaits: bool = False,
    ) -> None:
        retry = any(_RETRY.search(name) for name in names)
        scope = self.scope
        before, flags = scope.flags, IN_LOOP * turns | (IN_RETRY if retry else 0)
        scope.flags &= ~LOOP_AWAITS
        if awaits or (
            "async" in scope.traits
            and contains_await(one for one in body if not isinstance(one, ast.If))
        ):
            flags |= LOOP_AWAITS
        self._branch(body, flags, learned)
        scope.flags = before

    def _read_with(self, node: ast.With | ast.AsyncWith) -> None:
        scope = self.scope
        before, flags = scope.flags, 0
        is_async = isinstance(node, ast.AsyncWith)
        suspends = not is_async and "async" in scope.traits and contains_await(node.body)
        for item in node.items:
            if is_async and isinstance(item.context_expr, ast.Call):
                value = self.call(item.context_expr, ENTERED)
            else:
                value = self.visit(item.context_expr)
            name = self.tail_of(item.context_expr)
            if is_async or name in _SCOPES:
                flags |= IN_TIMEOUT if name in _DEADLINES else 0
            if isinstance(item.context_expr, ast.Call) and name == "suppress" and suspends:
                swallowed_errors.suppressed(self, node, item.context_expr)
            op, within = "awith" if is_async else "with", AWAITS_INSIDE if suspends else 0
            args, consts, count = self._given(item.context_expr)
            self.event(op, item.context_expr, value, args, consts, within | count)
            if item.optional_vars is not None:
                entered = self.make("E" if is_async else "e", value) if value else None
                self.bind(item.optional_vars, entered)
        scope.flags |= flags | (IN_LOCK if is_locked(node) else 0)
        self.body(node.body)
        scope.flags = before

    _read_asyncwith = _read_with

    def _given(self, node: ast.expr) -> tuple[Any, Any, int]:
        """Return the arguments of the call that was noted last, and the flags of their number, if it is this one.

        A constant among them may switch off a part of the generator that is entered.
        """
        made = self.scope.events[-1] if self.scope.events else None
        if made is None or made[:3] != ("call", node.lineno, node.col_offset + 1):
            return (), (), given(0, spread=True)
        return made.args, made.consts, made.flags & GIVEN

    def _read_try(self, node: ast.Try) -> None:
        self.body(node.body)
        if "async" in self.scope.traits and contains_await(node.body):
            swallowed_errors.handlers(self, node)
            swallowed_errors.left_finally(self, node.finalbody)
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name:
                self.scope.bind(handler.name, None)
            looping = self.scope.flags & IN_LOOP
            seldom = fallback(self, node, handler)
            self._branch(handler.body, seldom | HANDLING | (IN_RETRY if looping else 0))
        self._branch(node.orelse)
        self.body(node.finalbody)

    _read_trystar = _read_try

    def _read_match(self, node: ast.Match) -> None:
        value = self.visit(node.subject)
        for case in node.cases:
            if case.guard is not None:
                self.visit(case.guard)
            for one in ast.walk(case.pattern):
                if isinstance(one, ast.MatchAs) and one.name:
                    self.bind_name(one.name, value if one is case.pattern else None)
            self._branch(case.body)

    def _read_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        value = self.function(node)
        if self.scope.class_body is None:
            self.bind_name(node.name, value)

    _read_asyncfunctiondef = _read_functiondef

    def _read_classdef(self, node: ast.ClassDef) -> None:
        self.class_(node)

    def _read_assign(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        if isinstance(node.value, (ast.Subscript, ast.BinOp)) and _names_type(node.targets[0]):
            value = self.annotation(node.value)  # DbSession = Annotated[Session, Depends(get_db)]
        self._remember_call(node.targets, node.value)
        tells = rarely(self, node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and (any(tells) or target.id in self.scope.rare):
                self.scope.rare[target.id] = tells
            self.bind(target, value)
            self._note_made(target, node.value, value)

    def _note_made(self, target: ast.expr, node: ast.expr, value: Value) -> None:
        """Note where something that outlives this function is made: its line isn't in its value."""
        call = node.value if isinstance(node, ast.Await) else node
        if value is None or not isinstance(call, ast.Call):
            return
        if isinstance(target, ast.Name):
            scope = self.scope
            outlives = scope.is_module or (target.id in scope.outer and not self._holder(target.id))
            if scope.class_body is None and outlives:
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
            scope.opens = scope.opens or self.opens(call)
            place = ("call", call.lineno, call.col_offset + 1)
            for position in reversed(range(len(scope.events))):
                if scope.events[position].line < call.lineno:
                    break
                if scope.events[position][:3] == place:
                    scope.assigned.append((targets[0].id, position))
                    break

    def _read_annassign(self, node: ast.AnnAssign) -> None:
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

    def _read_augassign(self, node: ast.AugAssign) -> None:
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
            if self.scope.known:
                own = ("a", base, target.attr)
                self.scope.known = {key: one for key, one in self.scope.known.items() if key != own}
            if base is not None and base[0] == "g":  # Settings._instance = Settings()
                named = self.facts.bindings.get(base[1], ())
                base = next((one for one in named if one is not None and one[0] == "cl"), base)
            if base is not None and base[0] in ("self", "cls", "cl"):
                self._member(base[1], target.attr, value)
                again = self.scope.path or target.attr in self.scope.settings
                self.scope.settings[target.attr] = None if again else value
            if target.attr.startswith("on_") and base is not None and value is not None:
                self.pattern("called-back", target, (base, value))
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
        elif name in scope.outer and (holder := self._holder(name)) is not None:
            before, path = holder.names[name]
            holder.names[name] = (union([before, value]), path)
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

    def _holder(self, name: str) -> Scope | None:
        """Return the function around this one that has a local of that name."""
        scope = self.scope.parent
        while scope is not None and (scope.is_module or name not in scope.names):
            scope = scope.parent
        return scope

    def _read_global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.scope.outer.update(node.names)

    _read_nonlocal = _read_global

    def _read_import(self, node: ast.Import) -> None:
        for one in node.names:
            if one.asname:
                name, value = one.asname, self.make("im", one.name)
            else:
                name = one.name.partition(".")[0]
                value = self.make("im", name)
            if self.scope.is_module:
                self.modules.add(name)
            else:
                self.event("import", node, value)
            self.bind_name(name, value)

    def _read_importfrom(self, node: ast.ImportFrom) -> None:
        if not self.scope.is_module and not node.level and node.module:
            self.event("import", node, self.make("im", node.module))
        for one in node.names:
            if one.name == "*":
                self.facts.stars.append((node.level, node.module or ""))
                continue
            value = self.make("if", node.level, node.module or "", one.name)
            self.bind_name(one.asname or one.name, value)


def _names_type(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper()
