"""Facts of a whole file: visits its functions and classes, from source to records."""

import ast
import re
from typing import Any

from loopclinic.scanner.facts.entry_points import entry_of, restricted, runs_on
from loopclinic.scanner.facts.fact_records import IN_RETRY, Class, Facts, Function, Parameter
from loopclinic.scanner.facts.function_scope import Scope
from loopclinic.scanner.facts.patterns import swallowed_errors
from loopclinic.scanner.facts.patterns.abandoned_generators import left_early
from loopclinic.scanner.facts.patterns.kept_results import keeps
from loopclinic.scanner.facts.patterns.long_loops import counted
from loopclinic.scanner.facts.patterns.racy_initialization import initialized
from loopclinic.scanner.facts.patterns.sequential_awaits import in_turn
from loopclinic.scanner.facts.patterns.unbounded_fanout import at_once
from loopclinic.scanner.facts.patterns.unclosed_resources import opened
from loopclinic.scanner.facts.statements import Statements
from loopclinic.scanner.facts.syntax_queries import by_type, deep, is_stub
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.newer_syntax import parsed

_IGNORE = re.compile(r"#\s*loopclinic:\s*ignore(?:\[([\w\-, ]*)\])?")
_RETRIES = re.compile(r"retr(y|i)|backoff", re.IGNORECASE)


def facts_of(source: str) -> Facts:
    """Return the facts of one file.

    Raises:
        SyntaxError, ValueError: it is not Python as this interpreter knows it.
        RecursionError, MemoryError: it is nested deeper than the interpreter allows.
    """
    tree = parsed(source)
    one = Pass()
    one.live = "async" in source
    with deep():  # what could be parsed can be read
        one.module(tree)
    facts = one.facts
    facts.lines = source.count("\n") + (source[-1:] not in ("", "\n"))
    if "loopclinic:" in source:
        facts.ignores = _ignores(source)
    return facts


def _ignores(source: str) -> dict[int, tuple[str, ...]]:
    """Return line -> kinds; a comment that stands alone is meant for the code below it."""
    found: dict[int, tuple[str, ...]] = {}
    waiting: tuple[str, ...] | None = None
    for number, line in enumerate(source.split("\n"), 1):
        match = _IGNORE.search(line)
        kinds = tuple((match.group(1) or "").replace(",", " ").split()) if match else None
        if line.lstrip().startswith("#"):
            waiting = kinds if kinds is not None else waiting
            continue
        kinds = kinds if kinds is not None else waiting
        if kinds is not None:
            found[number] = kinds
        waiting = None
    return found


class Pass(Statements):
    """One pass over one file."""

    live = True
    """Whether the file has to do with async code: its shapes are of no interest otherwise."""

    def module(self, tree: ast.Module) -> None:
        """Read the whole file."""
        self.facts.functions.append(self.scope.close())
        self.body(tree.body)
        self.facts.functions[0] = self.scope.close()

    def function(self, node: Any) -> Value:
        """Read a function or lambda; return the value that names it."""
        is_lambda = isinstance(node, ast.Lambda)
        name = "<lambda>" if is_lambda else node.name
        decorators = () if is_lambda else tuple(self.visit(one) for one in node.decorator_list)
        scope = Scope(
            index=len(self.facts.functions),
            name=name,
            qualname=self._qualname(name),
            line=node.lineno,
            parent=self.scope,
            owner=self.scope.class_body,
            decorators=decorators,
        )
        scope.traits = self._traits(node, decorators)
        if self.live and not is_lambda:
            owner = scope.owner
            bases = self.classes[owner].bases if owner is not None else ()
            scope.entry = entry_of(node, tuple(tail(one) for one in bases))
        if _RETRIES.search(scope.name):
            scope.flags |= IN_RETRY
        self._parameters(node, scope)
        scope.flags |= keeps(scope)
        value = self.make("fn", scope.index)
        if isinstance(node, ast.AsyncFunctionDef):
            for decorator, worth in zip(node.decorator_list, decorators, strict=True):
                if worth is not None:
                    self.pattern("decorated", decorator, (worth,), scope.name)
        # A setter has its property's name and must not take its place.
        replaces = any(tail(one) in ("setter", "deleter") for one in decorators)
        if scope.owner is not None and not is_lambda and not replaces:
            self.classes[scope.owner].methods[name] = scope.index
        self.facts.functions.append(_UNFINISHED)
        first = len(self.facts.patterns)
        outer, self.scope = self.scope, scope
        dropped, self.dropped = self.dropped, None
        if is_lambda:
            scope.returns.append(self.visit(node.body))
        else:
            scope.annotation = self.annotation(node.returns)
            self.body(node.body)
            if self.live:
                self._shapes(node, first)
        self.facts.functions[scope.index] = scope.close()
        self.scope, self.dropped = outer, dropped
        return value

    def _shapes(self, node: ast.FunctionDef | ast.AsyncFunctionDef, first: int) -> None:
        """Look for shapes in a function whose body has just been read, and noted from `first` on."""
        is_async = isinstance(node, ast.AsyncFunctionDef)
        swallows = any(one.kind == "swallowed-cancellation" for one in self.facts.patterns[first:])
        if not (is_async or swallows or self.scope.opens):
            return
        nodes = by_type(node.body)  # once for all: each of them looks at nodes of a few types
        opened(self, node, nodes)
        if swallows:
            swallowed_errors.forget_own_cancellation(self, nodes)
            swallowed_errors.note_ends(self, node)
        if isinstance(node, ast.AsyncFunctionDef):
            if not self.scope.entry[0] and runs_on(nodes):
                self.scope.entry = "worker", node.name
            if ast.Await in nodes:
                initialized(self, node)
                in_turn(self, node, nodes)
                at_once(self, node, nodes)
            counted(self, nodes)
            left_early(self, nodes)

    def _qualname(self, name: str) -> str:
        scope = self.scope
        if scope.class_body is not None:
            return f"{self.classes[scope.class_body].qualname}.{name}"
        return name if scope.is_module else f"{scope.qualname}.{name}"

    def _traits(self, node: Any, decorators: tuple[Value, ...]) -> list[str]:
        if isinstance(node, ast.Lambda):
            return ["lambda"]
        names = {tail(one) for one in decorators}
        is_method = self.scope.class_body is not None
        stub = is_stub(node.body) or "abstractmethod" in names or "overload" in names
        found = {
            "async": isinstance(node, ast.AsyncFunctionDef),
            "method": is_method,
            "static": is_method and "staticmethod" in names,
            "class": is_method and "classmethod" in names,
            "nested": not self.scope.is_module,
            "stub": stub,
            "restricted": self.live and restricted(node),
            "guarded": isinstance(node, ast.AsyncFunctionDef)
            and swallowed_errors.guarded(node.body),
        }
        return [trait for trait, has in found.items() if has]

    def _parameters(self, node: Any, scope: Scope) -> None:
        args = node.args
        ordered = args.posonlyargs + args.args
        defaults = [None] * (len(ordered) - len(args.defaults)) + args.defaults + args.kw_defaults
        for position, (arg, default) in enumerate(
            zip(ordered + args.kwonlyargs, defaults, strict=True)
        ):
            annotation = None if arg.annotation is None else self.annotation(arg.annotation)
            worth = None if default is None else self.visit(default)
            if isinstance(default, ast.Constant) and not isinstance(default.value, (str, bytes)):
                worth = self.make("v", default.value)
            scope.parameters.append(Parameter(arg.arg, annotation, worth))
            scope.names[arg.arg] = (("p", scope.index, position), ())
        for extra in (args.vararg, args.kwarg):
            if extra is not None:
                scope.names[extra.arg] = (None, ())
        if "method" in scope.traits and "static" not in scope.traits and ordered:
            tag = "cls" if "class" in scope.traits or scope.name == "__new__" else "self"
            scope.names[ordered[0].arg] = (self.make(tag, scope.owner), ())

    def class_(self, node: ast.ClassDef) -> None:
        """Read a class."""
        scope = self.scope
        outer = scope.class_body
        qualname = self._qualname(node.name)
        index = len(self.classes)
        bases = tuple(self.annotation(one) for one in node.bases)
        decorators = tuple(self.visit(one) for one in node.decorator_list)
        for keyword in node.keywords:
            self.visit(keyword.value)
        self.classes.append(Class(node.name, qualname, node.lineno, bases, decorators, {}, {}, ()))
        self.bind_name(node.name, self.make("cl", index))
        scope.class_body, around, self.class_node = index, self.class_node, node
        self.body(node.body)
        scope.class_body, self.class_node = outer, around


_UNFINISHED = Function("", "", 0, (), (), (), None, (), (), (), None, None, 0)
