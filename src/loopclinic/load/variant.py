"""A variant of a comparison: what is served, which kind of target that is, and its setup."""

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from loopclinic.import_path import imported

Target = Callable[["Request"], Awaitable[Any]] | str | Any
Setup = Callable[[], AbstractAsyncContextManager[Any]]

USUAL_NAMES = ("handler", "app", "application", "make_app", "create_app")
"""What is looked for in a file that is given without a name."""
Form = Literal["handler", "aiohttp", "asgi", "wsgi", "factory"]

WSGI_THREADS = 8

FORMS: dict[str, str] = {
    "handler": "async callable",
    "aiohttp": "aiohttp application",
    "asgi": "ASGI application",
    "wsgi": f"WSGI application on {WSGI_THREADS} threads",
}
"""Form -> what it is called in a report. A factory is known by what it makes."""
_BY_ARGUMENTS: tuple[tuple[int, Form], ...] = ((1, "handler"), (2, "wsgi"), (3, "asgi"))


class LoadError(Exception):
    """A variant can't be put under load, or died under it; the message names the repair.

    `detail` holds more, such as a traceback from the variant's own process.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        if detail:
            self.add_note(detail.rstrip())
        self.detail = detail


class Request(NamedTuple):
    """What a variant is called with."""

    number: int
    payload: Any
    state: Any = None
    """What the variant's `setup` gave."""


class Reference(NamedTuple):
    """A target in words: a file or a module, and a name in it (empty: a usual one)."""

    file: Path | None
    module: str
    name: str

    @classmethod
    def of(cls, words: str) -> "Reference":
        """Read `FILE.py:name`, `FILE.py`, or `package.module:name`.

        Raises:
            LoadError: it is none of these, or there is no such file or package.
        """
        place, _, name = words.rpartition(":")
        if words.endswith(".py"):
            place, name = words, ""
        elif not name.isidentifier() or not place:
            raise LoadError(f"{words!r} is no target: write it as 'FILE.py:name'.")
        if place.endswith(".py"):
            if not Path(place).is_file():  # loopclinic: ignore[blocking-file-io] before it serves
                raise LoadError(f"{words!r}: there is no file {Path(place).absolute()}.")
            return cls(Path(place), "", name)
        if not all(part.isidentifier() for part in place.split(".")):
            raise LoadError(f"{words!r} is no target: write it as 'FILE.py:name'.")
        if find_spec(place.partition(".")[0]) is None:
            raise LoadError(
                f"{words!r}: there is no module {place.partition('.')[0]!r} on this Python's path. "
                "Install it, or write 'FILE.py:name'."
            )
        return cls(None, place, name)

    def load(self) -> Any:
        """Return what stands there: the file or module is run now.

        Raises:
            LoadError: it doesn't define that name. What it raises passes through.
        """
        if self.file is not None:
            module, said = _run_file(self.file.resolve()), str(self.file)
        else:
            module, said = importlib.import_module(self.module), self.module
        if not self.name:
            for name in USUAL_NAMES:
                if hasattr(module, name):
                    return getattr(module, name)
            raise LoadError(
                f"{said} defines none of {', '.join(USUAL_NAMES)}: write it as '{said}:name'."
            )
        try:
            return getattr(module, self.name)
        except AttributeError:
            raise LoadError(f"{said} defines no {self.name!r}: name what it does define.") from None

    def __str__(self) -> str:
        place = str(self.file) if self.file is not None else self.module
        return f"{place}:{self.name}" if self.name else place


@dataclass(frozen=True)
class Variant:
    """One way to do a job, to be put under load.

    Args:
        target: an async callable `(request) -> response`; or an ASGI, WSGI or aiohttp application;
            or a function without arguments that makes one; or, in words, `"FILE.py:name"` or
            `"package.module:name"` of any of these.
        name: what tables and plots call it; the target's own name unless given.
        setup: a function without arguments that returns an async context manager; its value
            becomes `request.state`, once per server. Make sessions, pools and locks there.

    Raises:
        LoadError: the target is none of these.
    """

    host: ClassVar[str] = "loopclinic.load.variant_server"
    """What its process runs."""

    target: Target
    name: str = field(default="", kw_only=True)
    setup: Setup | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        target = self.target
        if isinstance(target, str):
            Reference.of(target)
        elif not callable(target):
            raise LoadError(
                f"{target!r} is no target: give an async function (request) -> response, an ASGI, "
                "WSGI or aiohttp application, or 'FILE.py:name' of one."
            )
        elif form_of(target) is None:
            raise LoadError(
                f"{name_of(target)} takes no request: write it as "
                f"'async def {name_of(target)}(request)'."
            )
        if self.setup is not None and not callable(self.setup):
            raise LoadError(
                f"setup={self.setup!r} can't be called: give a function without arguments, made "
                "with @contextlib.asynccontextmanager."
            )
        if not self.name:
            object.__setattr__(self, "name", name_of(target))

    def load(self) -> Any:
        """Return the target itself: of one in words, the file is run now.

        Raises:
            LoadError: the file doesn't define that name. What the file raises passes through.
        """
        return Reference.of(self.target).load() if isinstance(self.target, str) else self.target


def form_of(target: Any) -> Form | None:
    """Return the form of a target by its signature, or None where it has none of them.

    An ASGI application takes (scope, receive, send), a WSGI application (environ, start_response), a
    handler one request, a factory nothing.
    """
    web = sys.modules.get("aiohttp.web_app")
    if web is not None and isinstance(target, web.Application):
        return "aiohttp"
    if not callable(target):
        return None
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # a C function keeps its signature to itself
        return "handler"
    asynchronous = inspect.iscoroutinefunction(target)
    if not signature.parameters:
        return None if asynchronous else "factory"
    for count, form in _BY_ARGUMENTS:
        if form == "wsgi" and asynchronous:
            continue
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return form
    return None


def name_of(target: Any) -> str:
    """Return what a target is called where nobody names it."""
    if isinstance(target, str):
        place = Reference.of(target)
        home = place.file.stem if place.file is not None else place.module
        return f"{home}:{place.name}" if place.name else home
    inner = getattr(target, "func", target)  # of a partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def _run_file(file: Path) -> Any:
    root = import_root(file)
    if root != file.parent:
        return _import_member(file, root)
    sys.path.insert(0, str(file.parent))  # as when it is run as a script
    try:
        return imported(file, f"_loopclinic_{abs(hash(file))}_{file.stem}")
    finally:
        sys.path.remove(str(file.parent))


def import_root(file: Path) -> Path:
    """Return the folder that a file's absolute imports begin in: its own, or above its packages."""
    folder = file.parent
    while True:
        package = folder / "__init__.py"
        if not package.is_file():  # loopclinic: ignore[blocking-file-io] before it serves
            return folder
        folder = folder.parent


def _import_member(file: Path, root: Path) -> Any:
    """Import a file of a package by its own name, so that its relative imports work."""
    sys.path.insert(0, str(root))
    return importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts))
