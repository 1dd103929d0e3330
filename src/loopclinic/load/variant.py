"""One way to do a job: what is served, and what it needs set up."""

import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["LoadError", "Request", "Setup", "Target", "Variant"]

Target = Callable[["Request"], Awaitable[Any]] | str | Any
Setup = Callable[[], AbstractAsyncContextManager[Any]]


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


@dataclass(frozen=True)
class Variant:
    """One way to do a job, to be put under load.

    Args:
        target: an async callable `(request) -> response`; or `"FILE.py:name"` of one; or an
            aiohttp `web.Application` (or a function without arguments that makes one).
        name: what tables and plots call it; the target's own name unless given.
        setup: a function without arguments that returns an async context manager; its value
            becomes `request.state`, once per server. Make sessions, pools and locks there.

    Raises:
        LoadError: the target is none of these.
    """

    target: Target
    name: str = field(default="", kw_only=True)
    setup: Setup | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        target = self.target
        if isinstance(target, str):
            file, _, name = target.rpartition(":")
            if not file.endswith(".py") or not name.isidentifier():
                raise LoadError(f"{target!r} is no target: write it as 'FILE.py:name'.")
            if not Path(file).is_file():
                raise LoadError(f"{target!r}: there is no file {Path(file).absolute()}.")
        elif not callable(target):
            raise LoadError(
                f"{target!r} is no target: give an async function (request) -> response, "
                "'FILE.py:name', or an aiohttp web.Application."
            )
        elif not is_application(target) and not _takes_request(target):
            raise LoadError(
                f"{_name_of(target)} takes no request: write it as "
                f"'async def {_name_of(target)}(request)'."
            )
        if self.setup is not None and not callable(self.setup):
            raise LoadError(
                f"setup={self.setup!r} can't be called: give a function without arguments, made "
                "with @contextlib.asynccontextmanager."
            )
        if not self.name:
            object.__setattr__(self, "name", _name_of(target))

    def load(self) -> Any:
        """Return the target itself: of `FILE.py:name`, the file is run now.

        Raises:
            LoadError: the file doesn't define that name. What the file raises passes through.
        """
        if not isinstance(self.target, str):
            return self.target
        file, _, name = self.target.rpartition(":")
        module = _run_file(Path(file).resolve())
        try:
            return getattr(module, name)
        except AttributeError:
            raise LoadError(f"{file} defines no {name!r}: name what it does define.") from None


def is_application(target: Any) -> bool:
    """Whether this is an aiohttp `web.Application`, or a function without arguments."""
    web = sys.modules.get("aiohttp.web_app")
    if web is not None and isinstance(target, web.Application):
        return True
    if inspect.iscoroutinefunction(target):
        return False
    try:
        return not inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def _takes_request(target: Callable[..., Any]) -> bool:
    try:
        inspect.signature(target).bind(None)
    except TypeError:
        return False
    except ValueError:  # a C function keeps its signature to itself
        return True
    return True


def _name_of(target: Any) -> str:
    if isinstance(target, str):
        file, _, name = target.rpartition(":")
        return f"{Path(file).stem}:{name}"
    inner = getattr(target, "func", target)  # of a partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def _run_file(file: Path) -> Any:
    spec = spec_from_file_location(f"_loopclinic_{abs(hash(file))}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.parent))  # as when it is run as a script
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        sys.path.remove(str(file.parent))
    return module
