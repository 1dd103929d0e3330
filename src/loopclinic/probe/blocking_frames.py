"""Matches a sampled stack with the catalogue of blocking calls.

A function written in Python is known by its code: a frame runs it, or it does not. One written in C
leaves no frame, so the call in progress is looked up in the source: by the names in it as the module
defines them, else by the type of the object as the same file makes it, else by its method's name, if
all loaded classes of the catalogue that have such a method in C agree.

The source is read as text. To parse it is not safe in a thread: two threads that build syntax trees,
one of them interrupted by a callback of the garbage collector, raise SystemError in each other.
"""

import builtins
import dis
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from inspect import unwrap
from itertools import islice
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from loopclinic.blocking_calls import Catalogue, Entry, Leaf, catalogue
from loopclinic.probe.remote_stack import Span
from loopclinic.probe.report import Frame

_DEEP = 4  # assignments and calls that are followed to where a value was made
_OPERATIONS = ("CALL", "PRECALL", "BEFORE_WITH", "FOR_ITER", "GET_ITER")
_RETRIES = re.compile(r"attempt|retr(y|i)|tries|backoff|tenacity", re.IGNORECASE)
# Of a frame of a library that no entry names, the package tells: that of a client, not what it rests on.
_CLIENTS = frozenset(("blocking-db", "blocking-redis", "blocking-sdk"))
_STRING = re.compile(
    r"\"\"\".*?\"\"\"|\'\'\'.*?\'\'\'|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL
)
_START = re.compile(r"(?<![\w.])[^\W\d]\w*")
_ARGUMENTS = re.compile(r"\([^()]*\)")
_CHAIN = re.compile(r"(?>[^\W\d]\w*\0?(?:\s*\.\s*\w+\0?)*)(?!\s*[\[\0])")
_STATEMENT = re.compile(r"(with|for)\b")  # how older Pythons place what one does to its value
_ENTER = "__enter__"
_ENTERS = re.compile(r"^(?:with\s+|for\s.+?\sin\s+)")


def span_of(frame: FrameType) -> Span | None:
    """Return where the call stands that a frame is in, None if it is in none or that is not known."""
    code, at = frame.f_code, frame.f_lasti
    while at > 0 and dis.opname[code.co_code[at]] == "CACHE":
        at -= 2
    if at < 0 or not dis.opname[code.co_code[at]].startswith(_OPERATIONS):
        return None
    line, end, column, last = next(islice(code.co_positions(), at // 2, None), (None,) * 4)
    if line is None or end is None or column is None or last is None:
        return None
    return line, end, column, last


def in_progress(frame: Frame, span: Span | None) -> Iterator[tuple[str, str]]:
    """Yield the calls that a frame may be in: at `span` if that is known, else all of its line.

    As `self.open().read()`, without arguments, with what is done to its value: nothing, `__iter__`, or
    `__enter__`, which stands for leaving it, too.
    """
    lines = linecache.getlines(frame.file)
    if span is not None and span[1] <= len(lines):
        line, end, column, last = span
        rows = [one.encode() for one in lines[line - 1 : end]]
        head, rows[0], rows[-1] = rows[0][:column], rows[0][column:], rows[-1][:last]
        if line == end:
            rows = [lines[line - 1].encode()[column:last]]
        code = _blank(b"".join(rows).decode(errors="replace"))
        found = "" if _STATEMENT.match(code) else _expression(code)
        if found:
            done = "" if found.endswith(")") else _ENTER if b"with " in head else "__iter__"
            yield found, done
            return
    code = _blank(frame.code).partition("#")[0].rstrip()
    for one in _START.finditer(code):
        found = _expression(code[one.start() :])
        if found.endswith(")") and not code[: one.start()].endswith("await "):
            yield found, ""
    entered = _ENTERS.match(code)
    if entered is not None and (found := _expression(code[entered.end() :])):
        yield found, _ENTER if code.startswith("with") else "__iter__"


def held_across_await(frame: Frame) -> bool:
    """Return whether the frame's file holds what its line waits for by a `with` around an await."""
    found, _ = next(in_progress(frame, None), ("", ""))
    lock = found.rpartition(".")[0] if found.endswith(")") else found
    takes = re.compile(rf"\s*with\s(.*[\s,])?{re.escape(lock)}\s*[:,]")
    lines = linecache.getlines(frame.file)
    for number, line in enumerate(lines):
        if lock and takes.match(line):
            for inner in lines[number + 1 :]:
                if inner.strip() and _indent(inner) <= _indent(line):
                    break
                if re.search(r"\bawait\b|\basync (with|for)\b", inner):
                    return True
    return False


def retries(frame: Frame) -> bool:
    """Return whether a frame repeats something, by its name or by the loop that its line stands in."""
    library = "-packages/" in frame.file.replace("\\", "/")
    if _RETRIES.search(frame.function) or (
        library and _RETRIES.search(frame.file.rpartition("-packages")[2])
    ):
        return True
    lines = linecache.getlines(frame.file)[: frame.line]
    if library or not lines:
        return False
    depth, failed = _indent(lines[-1]), False
    for line in reversed(lines):
        head = line.strip()
        if not head or _indent(line) >= depth:
            continue
        depth = _indent(line)
        if head.startswith(("def ", "async def ", "class ")):
            return False
        failed = failed or head.startswith("except")
        if head.startswith(("for ", "while ", "async for ")) and (failed or _RETRIES.search(head)):
            return True
    return False


class CatalogueCalls:
    """The catalogue's calls, found on a stack: what is the same for this process and for another one."""

    def __init__(self) -> None:
        self._catalogue = catalogue()
        self._packages = clients(self._catalogue)

    @property
    def importing(self) -> Leaf | None:
        """What an import is."""
        return self._catalogue.function("_frozen_importlib._find_and_load")

    def package(self, frame: Frame) -> Leaf | None:
        """Return what a client's frame waits for, if the entries of its package are all alike."""
        name, *rest = frame.file.replace("\\", "/").rpartition("-packages/")[2].split("/")
        kinds = self._packages.get(name, set())
        return Leaf(next(iter(kinds)), name) if rest and len(kinds) == 1 else None

    def call(self, file: str, source: str, done: str = "") -> Leaf | None:
        """Return what a call that `in_progress` found is."""
        if done and (found := self._method(file, source, done)) is not None:
            return found
        if not source.endswith("()"):
            return None
        found = self._function(file, source[:-2])
        owner, _, name = source[:-2].rpartition(".")
        return self._method(file, owner, name) if found is None and owner else found

    def _function(self, file: str, name: str) -> Leaf | None:
        """Return what the function of a dotted name in a file is."""
        raise NotImplementedError

    def _method(self, file: str, receiver: str, name: str) -> Leaf | None:
        """Return what a method of the value of an expression in a file is."""
        raise NotImplementedError


def method_of(entry: Entry, name: str) -> Leaf | None:
    """Return what a method of an entry's class is; to enter a lock is to acquire it."""
    asked: tuple[str, ...] = (name,)
    if name == _ENTER:
        asked = ("acquire",) if entry.thread_lock else (_ENTER, "__exit__")
    return next((leaf for one in asked if (leaf := entry.leaf(one, observed=True))), None)


def likely_method(leaf: Leaf, receiver: str, name: str) -> Leaf:
    """Return what a method is that is only known by its name."""
    called = receiver if name.startswith("__") else f"{receiver}.{name}"
    return replace(leaf, name=called, confidence="likely")


class CallIndex(CatalogueCalls):
    """The catalogue's calls by what runs them in this process; grows with the modules it imports."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0
        self._wanted = [
            (entry, path)
            for entry in self._catalogue.entries
            for path in dict.fromkeys((entry.path, *entry.also, *entry.former, *entry.made_by))
        ]
        self._code: dict[tuple[str, str], list[tuple[CodeType, Leaf]]] = {}
        self._objects: dict[
            int, tuple[object, Leaf]
        ] = {}  # the object, too: else its id is used again
        self._methods: dict[str, set[Leaf]] = {}
        self._classes: dict[int, Entry] = {}  # by class, and by what makes instances of it

    def grow(self) -> None:
        """Look for the entries whose modules were imported since the last call."""
        modules = len(sys.modules)
        if modules != self._seen:  # two threads may do so at once: what is noted twice does no harm
            self._wanted = [one for one in self._wanted if not self._add(*one)]
            self._seen = modules

    def frame(self, frame: Frame) -> Leaf | None:
        """Return the call that a frame is the code of."""
        for code, leaf in self._code.get((frame.file, frame.function), ()):
            if frame.line in {code.co_firstlineno, *(line for *_, line in code.co_lines())}:
                return leaf
        return None

    def _function(self, file: str, name: str) -> Leaf | None:
        one = _value(file, name)
        if id(one) in self._objects:
            return self._objects[id(one)][1]
        # Something else stood in its place when it was looked for.
        if type(one) is BuiltinFunctionType:
            return self._catalogue.function(f"{one.__module__}.{one.__name__}")
        return None

    def _method(self, file: str, receiver: str, name: str) -> Leaf | None:
        kind = self._type(file, receiver, _DEEP)
        if isinstance(kind, Entry):
            return method_of(kind, name)
        found = self._methods.get(name, set())
        if kind is not None or len({leaf.kind for leaf in found}) != 1:
            return None
        return likely_method(next(iter(found)), receiver, name)

    def _type(self, file: str, source: str, deep: int) -> Entry | bool | None:
        """Return the entry of a value's class, True if it is of a class without one, None if unknown."""
        value = _value(file, source)
        if value is not None:
            return self._class(type(value))
        if not deep:
            return None
        if not source.endswith(")"):
            made = [not one or self._type(file, one, deep - 1) for one in assigned(file, source)]
            return made[0] if made and all(one is made[0] for one in made) else None
        maker = _value(file, source[:-2])
        if _is_class(maker):
            return self._class(maker)
        if maker is not None:
            return self._classes.get(id(maker), None if type(maker) is FunctionType else True)
        receiver, _, name = source[:-2].rpartition(".")
        owner = self._type(file, receiver, deep - 1) if receiver else None
        given = owner.returns.get(name, "") if isinstance(owner, Entry) else ""
        return self._catalogue.classes.get(given)

    def _class(self, kind: type) -> Entry | bool:
        return next(
            (self._classes[id(one)] for one in kind.__mro__ if id(one) in self._classes), True
        )

    def _add(self, entry: Entry, path: str) -> bool:
        """Note what an import path of an entry leads to, and whether its module is there."""
        one = _loaded(path)
        if one is None:
            return False
        names = {*entry.blocks, *entry.optional, *entry.observed} - {"*"}
        if entry.is_class:
            self._classes[id(one)] = entry
            if not _is_class(one):
                return True
            if entry.deep or "*" in entry.blocks:
                names |= {name for name in vars(one) if not name.startswith("__")} - {*entry.unless}
            if entry.thread_lock:
                names.add(_ENTER)
            for name in names:
                self._note_method(entry, one, name)
        elif type(one) is ModuleType:
            for name in names:
                self._note(vars(one).get(name), entry.leaf(name, observed=True))
            for name, given in entry.returns.items():
                made, known = vars(one).get(name), self._catalogue.classes.get(given)
                if made is not None and known is not None and not _is_class(made):
                    self._classes[id(made)] = known
        return True

    def _note_method(self, entry: Entry, owner: type, name: str) -> None:
        known = "acquire" if name == _ENTER and entry.thread_lock else name
        leaf = entry.leaf(known, observed=True)
        if leaf is None:  # what the methods of a client rest on
            leaf = Leaf(entry.kind, f"{entry.path}.{name}", entry.confidence, entry.source)
        found = _static(owner, name)
        if name == "__init__" and not isinstance(found, FunctionType):
            self._objects[id(owner)] = owner, leaf
        elif callable(found) and not self._note(found, leaf):
            self._methods.setdefault(name, set()).add(leaf)

    def _note(self, found: object, leaf: Leaf | None) -> bool:
        """Note a function, and whether it is written in Python."""
        if found is None or leaf is None:
            return False
        self._objects.setdefault(id(found), (found, leaf))
        for one in (found, unwrap(found) if isinstance(found, FunctionType) else None):
            if isinstance(one, FunctionType):
                code = one.__code__
                self._code.setdefault((code.co_filename, code.co_name), []).append((code, leaf))
        return isinstance(found, FunctionType)


def clients(found: Catalogue) -> dict[str, set[str]]:
    """Return the packages of clients, and the kinds of what blocks in each."""
    packages: dict[str, set[str]] = {}
    for entry in found.entries:
        if entry.kind in _CLIENTS:
            packages.setdefault(entry.path.partition(".")[0], set()).add(entry.kind)
    return packages


@cache
def call_index() -> CallIndex:
    """Return the index of this process."""
    return CallIndex()


def _expression(code: str) -> str:
    """Return the names and calls that code begins with, as `open().read()`; nothing where an index follows."""
    code += ")" * (code.count("(") - code.count(")"))  # the line ends within a call
    while (shorter := _ARGUMENTS.sub("\0", code)) != code:
        code = shorter
    found = _CHAIN.match(code)
    return "".join(found[0].split()).replace("\0", "()") if found is not None else ""


def _blank(code: str) -> str:
    """Return code without what its strings hold."""
    return _STRING.sub("''", code)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def assigned(file: str, name: str) -> Iterator[str]:
    """Yield what a file assigns to a name anywhere: nothing for a literal."""
    target = re.escape(name)
    assigns = re.compile(
        rf"\s*{target}\s*(?::[^=]+)?=(?!=)\s*|\s*with\s+(?=.*\)\s+as\s+{target}\b)"
    )
    for line in linecache.getlines(file):
        found = assigns.match(line) if name.rpartition(".")[2] in line else None
        if found is not None:
            value = line[found.end() :]
            yield _expression(_blank(value)) or ("?" if value[:1].isidentifier() else "")


def _value(file: str, source: str) -> Any:
    """Return the value of a dotted name, without running any code of the program's."""
    first, *rest = source.split(".")
    spaces = (_namespace(file, len(sys.modules)), vars(builtins), sys.modules)
    one = next((names[first] for names in spaces if first in names), None)
    for name in rest:
        one = _attribute(one, name)
    return one


def _attribute(owner: Any, name: str) -> Any:
    if type(owner) is ModuleType:  # a lazy one would be imported
        return vars(owner).get(name)
    return _static(owner, name) if _is_class(owner) else None


def _is_class(one: object) -> bool:
    return issubclass(type(one), type)  # `isinstance` runs the code of a proxy


def _static(owner: type, name: str) -> Any:
    found: Any = next((vars(one)[name] for one in owner.__mro__ if name in vars(one)), None)
    return found.__func__ if type(found) in (classmethod, staticmethod) else found


@lru_cache(maxsize=64)
def _namespace(file: str, _modules: int) -> Mapping[str, Any]:
    """Return the names of the module that a file is, while so many modules are imported."""
    main = sys.modules.get("__main__")
    for module in (main, *list(sys.modules.values())):
        if type(module) is ModuleType and vars(module).get("__file__") == file:
            return vars(module)
    return vars(main) if main is not None and file.startswith("<") else {}


def _loaded(path: str) -> Any:
    """Return the object at an import path if its module is imported; import nothing."""
    parts = path.split(".")
    if parts[0] not in sys.modules:
        return None
    for split in range(len(parts), 0, -1):
        one: Any = sys.modules.get(".".join(parts[:split]))
        if one is None:
            continue
        for name in parts[split:]:
            one = _attribute(one, name)
        return one
    return None
