"""Finds the source that drives a lab (reachable from the child process), to tell which records are stale.

Names are followed from there through the modules of `lessons/` and `checks/`. What only judging reaches
is left out: `judge` of a scene and what it calls, the sentence of a pass, the budgets that it compares
with, and what returns what a scene says, unless it is used by name or by its own class. Where it is not sure, a definition counts: an attribute may belong to any class, a word in quotes
may be an attribute's name, a statement or decorator may have an effect, and what a class from elsewhere
calls is not known. Only a name that is put together from parts, for `getattr`, would be missed.
"""

import ast
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SCOPE = ("loopclinic.lessons.", "loopclinic.checks.")
_PURE = {
    "Budget",
    "Figure",
    "Lesson",
    "compile",
    "frozenset",
    "graded",
    "partial",
    "words",
    "TypeVar",
}
"""Calls in an assignment that do nothing but return a value."""
_PLAIN_BASES = {"Generic", "Protocol", "NamedTuple", "object"}
_PLAIN_DECORATORS = {
    *("dataclass", "property", "staticmethod", "classmethod", "cache", "cached_property"),
    *("contextmanager", "asynccontextmanager", "override", "abstractmethod"),
}
_PROGRAM = re.compile(r"loopclinic(\.\w+)+(:\w+)?")
"""What is run as a process of its own."""

_TARGETS = (ast.Name, ast.Tuple, ast.List, ast.Starred, ast.expr_context)


def source_of(roots: Iterable[str], *names: str) -> dict[str, str]:
    """Return, by module, the source that drives a lab, without comments and docstrings.

    All of the modules `roots` counts, and what they and the definitions `names` reach, each given as
    `module:name`.

    Raises:
        LookupError: there is no such module.
    """
    found = _Reached()
    for root in [*roots, *(name.partition(":")[0] for name in names)]:
        if _path_of(root) is None:
            raise LookupError(f"{root} is gone: say in tests/labs/recorded.py what drives a lab")
    for root in roots:
        found.all_of(root)
    for name in names:
        found.name(*name.split(":"))
    found.follow()
    texts = {name: module.text() for name, module in sorted(found.modules.items())}
    return {name: text for name, text in texts.items() if text}


@dataclass(eq=False)
class _Unit:
    """A definition, or another statement; of a class all but its members."""

    node: ast.stmt
    module: "_Module"
    members: "list[_Unit]" = field(default_factory=list)
    owner: "_Unit | None" = None
    live: bool = False

    @cached_property
    def names(self) -> set[str]:
        """The names that it defines."""
        match self.node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                return {name}
            case ast.Assign(targets=targets):
                parts = [one for one in _walk(*targets) if not isinstance(one, _TARGETS)]
                return (
                    set()
                    if parts
                    else {one.id for one in _walk(*targets) if isinstance(one, ast.Name)}
                )
            case ast.AnnAssign(target=ast.Name(id=name)):
                return {name}
        return set()

    @property
    def name(self) -> str:
        """The name of a class or function; of others, empty."""
        return str(getattr(self.node, "name", ""))

    @property
    def optional(self) -> bool:
        """Whether it does nothing unless it is used by its name."""
        match self.node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                plain = _last_names(self.node.decorator_list) <= _PLAIN_DECORATORS
                return plain and not self._special(self.node.name)
            case ast.Assign() | ast.AnnAssign(value=ast.expr()) if self.names:
                assert self.node.value is not None
                calls = (one.func for one in _walk(self.node.value) if isinstance(one, ast.Call))
                known = _last_names(calls) <= _PURE and not any(map(self._special, self.names))
                return known and not (self.owner and isinstance(self.node, ast.AnnAssign))
            case ast.Import() | ast.ImportFrom():
                return self.owner is None
        return _for_types_only(self.node)

    @property
    def judges(self) -> bool:
        """Whether it returns what a scene says of a lab."""
        returns = getattr(self.node, "returns", None)
        words = {one.id for one in _walk(*filter(None, [returns])) if isinstance(one, ast.Name)}
        return not words.isdisjoint({"Said", "Reason", "Kept"})

    def _special(self, name: str) -> bool:
        return self.owner is not None and name.startswith("__") and name.endswith("__")


@dataclass(frozen=True)
class _Known:
    """What a source says by itself: most modules drive the labs of all lessons."""

    body: list[ast.stmt]
    lines: list[str]
    """Without comments."""
    docstrings: list[ast.stmt]
    names: set[str]
    """Names that it mentions."""


@cache
def _known(source: str) -> _Known:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    tree = ast.parse(source)
    nodes = [*ast.walk(tree)]
    docstrings = [
        one for one in nodes if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
    ]
    names = {one.id for one in nodes if isinstance(one, ast.Name)}
    return _Known(tree.body, lines, docstrings, names)


class _Module:
    """A module's statements, and what its names stand for."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.source = name, path.read_text("utf-8")
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.units: list[_Unit] = []
        self.imports: dict[str, tuple[str, str]] = {}
        """Module and name, or only the module, of what is imported, by the name that it gets."""
        self.used: set[str] = set()
        """Names that are imported from elsewhere and used."""
        self.known = _known(self.source)
        for node in self.known.body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        unit = _Unit(node, self)
        self.units.append(unit)
        if isinstance(node, ast.ClassDef):
            unit.members = [_Unit(one, self, owner=unit) for one in node.body]
            for one in unit.members:
                if isinstance(one.node, ast.ClassDef):
                    one.members = [_Unit(inner, self, owner=one) for inner in one.node.body]
        if not _for_types_only(node):
            for name, target in _imported(node):
                self.imports[name] = target

    def __iter__(self) -> Iterator[_Unit]:
        for unit in self.units:
            yield unit
            for member in unit.members:
                yield member
                yield from member.members

    def text(self) -> str:
        """Return the source of what counts; of what is imported from elsewhere, the names."""
        lines = [*self.known.lines]
        for unit in self:
            if not unit.live or isinstance(unit.node, ast.Import | ast.ImportFrom):
                _blank(lines, unit.node)
        for node in self.known.docstrings:
            _blank(lines, node)
        imported = [f"{name} = {' '.join(self.imports[name])}" for name in sorted(self.used)]
        return "\n".join([*imported, *(line.rstrip() for line in lines if line.strip())])


class _Reached:
    """The modules that are imported, and which of their definitions are reached."""

    def __init__(self) -> None:
        self.modules: dict[str, _Module] = {}
        self._attributes: set[str] = set()
        self._of_self: defaultdict[str, set[str]] = defaultdict(set)
        """Attributes of `self`, each with the names of the classes that it is used in."""
        self._queue: list[_Unit] = []
        self._bases: defaultdict[str, set[str]] = defaultdict(set)
        """Names of the bases of the classes of each name."""
        self._whole: set[str] = set()
        """Modules that are passed around, so that an attribute may be a definition of theirs."""

    def all_of(self, name: str) -> None:
        """Reach all definitions of a module."""
        module = self._load(name)
        for unit in module or ():
            self._reach(unit)

    def name(self, module: str, name: str) -> None:
        """Reach what a module's name stands for."""
        here = self._load(module)
        if here is None:
            return
        for unit in here.units:
            if name in unit.names:
                self._reach(unit)
        if name in here.imports:
            self._imported(here, name)
        elif _path_of(f"{module}.{name}") is not None:
            self._load(f"{module}.{name}")
            self._whole.add(f"{module}.{name}")

    def follow(self) -> None:
        """Reach what is used by what was reached, until there is nothing new."""
        while self._queue or self._members():
            while self._queue:
                self._uses(self._queue.pop())

    def _load(self, name: str) -> _Module | None:
        path = _path_of(name)
        if path is None or not f"{name}.".startswith(_SCOPE):
            return None
        if name not in self.modules:
            module = self.modules[name] = _Module(name, path)
            parent = name.rpartition(".")[0]
            self._load(parent)
            for imported, inner in module.imports.values():
                self._load(imported)
                self._load(f"{imported}.{inner}" if inner else "")
            for unit in module.units:
                if not unit.optional:
                    self._reach(unit)
            for unit in module:
                if isinstance(unit.node, ast.ClassDef):
                    bases = _last_names(unit.node.bases)
                    self._bases[unit.node.name] |= {*bases, *("?" for _ in unit.node.keywords)}
            for alias in module.imports.keys() - module.known.names:  # imported for its effect
                module.used.add(alias)
        return self.modules[name]

    def _reach(self, unit: _Unit) -> None:
        if not unit.live:
            unit.live = True
            self._queue.append(unit)
            if unit.owner:
                self._reach(unit.owner)

    def _imported(self, module: _Module, name: str) -> None:
        target, inner = module.imports[name]
        if not f"{target}.".startswith(_SCOPE):
            module.used.add(name)
        elif inner:
            self.name(target, inner)
        else:
            self._load(target)
            self._whole.add(target)

    def _uses(self, unit: _Unit) -> None:
        for node in _parts(unit):
            match node:
                case ast.Name(id=name):
                    self.name(unit.module.name, name)
                case ast.Attribute(ast.Name("self" | "cls"), name) if unit.owner:
                    self._of_self[name].add(unit.owner.name)
                case ast.Attribute(attr=name):
                    self._attributes.add(name)
                case ast.Constant(str(text)) if _PROGRAM.fullmatch(text):
                    self.all_of(text.partition(":")[0])
                case ast.Constant(str(text)) if text.isidentifier():
                    self._attributes.add(text)
                case ast.Import() | ast.ImportFrom():
                    for _, (target, inner) in _imported(node):
                        self.name(target, inner)

    def _members(self) -> bool:
        """Reach the members of classes that may be used; return whether there was one."""
        for name in list(self._whole):
            for unit in self.modules[name].units if name in self.modules else ():
                if unit.names & self._attributes:
                    self._reach(unit)
        for module in self.modules.values():
            for unit in module:
                owner = unit.owner
                if owner is None or not owner.live or unit.live:
                    continue
                used = (unit.names & self._attributes and not unit.judges) or not unit.optional
                if used or self._used_by_kin(unit, owner) or self._foreign(owner.name):
                    self._reach(unit)
        return bool(self._queue)

    def _used_by_kin(self, unit: _Unit, owner: _Unit) -> bool:
        """Whether a class that is related to its owner uses a member as an attribute of `self`."""
        users = {user for name in unit.names for user in self._of_self.get(name, ())}
        return bool(users) and not users.isdisjoint(self._kin(owner.name))

    def _kin(self, name: str) -> set[str]:
        """Return the names of the classes that are related to this one, and its own."""
        found, queue = set[str](), [name]
        while queue:
            one = queue.pop()
            if one not in found and one in self._bases:
                found.add(one)
                queue += [
                    *self._bases[one],
                    *(kin for kin in self._bases if one in self._bases[kin]),
                ]
        return found

    def _foreign(self, name: str) -> bool:
        """Whether a class has a base of which it is not known what it calls."""
        if name in self._bases:
            return any(self._foreign(base) for base in self._bases[name] - {name})
        return name not in _PLAIN_BASES


def _walk(*nodes: ast.AST) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


def _parts(unit: _Unit) -> Iterator[ast.AST]:
    """Yield what a statement uses: without members, types of arguments, and what only judges."""
    left_out = {id(one.node) for one in unit.members}
    queue: list[ast.AST] = [unit.node]
    while queue:
        match node := queue.pop():
            case ast.arg() | ast.keyword(arg="praise") | ast.AnnAssign(target=ast.Name("praise")):
                continue
            case ast.FunctionDef(returns=ast.expr()) | ast.AsyncFunctionDef(returns=ast.expr()):
                left_out.add(id(node.returns))
        yield node
        queue += [one for one in ast.iter_child_nodes(node) if id(one) not in left_out]


def _imported(node: ast.stmt) -> Iterator[tuple[str, tuple[str, str]]]:
    match node:
        case ast.Import(names=names):
            for one in names:
                yield one.asname or one.name.partition(".")[0], (one.name, "")
        case ast.ImportFrom(module=str(module), names=names):
            for one in names:
                yield one.asname or one.name, (module, one.name)


def _for_types_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and _last_names([node.test]) == {"TYPE_CHECKING"}


def _last_names(nodes: Iterable[ast.expr]) -> set[str]:
    """Return the last name of each: `b` of `a.b`, `a.b[c]` and `a.b(c)`."""
    found = set()
    for one in nodes:
        node = one
        while isinstance(node, ast.Subscript | ast.Call):
            node = node.value if isinstance(node, ast.Subscript) else node.func
        found.add(node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "?"))
    return found


def _blank(lines: list[str], node: ast.stmt) -> None:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    assert node.end_lineno is not None
    lines[first - 1 : node.end_lineno] = [""] * (node.end_lineno - first + 1)


def _path_of(module: str) -> Path | None:
    return _path_below(ROOT, module)


@cache
def _path_below(root: Path, module: str) -> Path | None:
    place = root.joinpath("src", *module.split("."))
    found = (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
    return next(found, None)
