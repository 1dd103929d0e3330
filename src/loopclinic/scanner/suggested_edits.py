"""Suggests the line to write instead of a blocking call; applies those edits that change nothing else."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from loopclinic.scanner.file_facts import decoded
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.scan_report import Report

_THREADED = frozenset(
    {
        "blocking-db",
        "blocking-file-io",
        "blocking-http",
        "blocking-input",
        "blocking-sdk",
        "blocking-subprocess",
        "cpu-bound",
    }
)
"""One call of these can go to a thread as it stands, where it gives a finished result."""
_UNFINISHED = ("open", "Popen", "Client", "Session", "walk", "iterdir", "scandir", "connect")
"""What these return goes on blocking."""


class Patch(NamedTuple):
    """One edit of one line; columns count characters from 0."""

    line: int
    start: int
    end: int
    text: str
    safe: bool
    """It does the same, and only lets others run meanwhile."""
    imports: int | None = None
    """The line, from 0, before which `import asyncio` is to stand; None if it is there."""

    def applied(self, source: str) -> str:
        """Return the line as it is to be."""
        return source[: self.start] + self.text + source[self.end :]


def patches(report: Report, found: Iterable[Finding]) -> dict[Finding, Patch]:
    """Return the edits for those findings of a report for which there is one."""
    root = Path(report.root)
    folder = root if root.is_dir() else root.parent
    trees: dict[str, tuple[list[str], dict[tuple[int, int], _Site], int | None]] = {}
    edits = {}
    for one in found:
        if one.through_calls or one.kind not in _THREADED | {"blocking-sleep"}:
            continue
        if one.file not in trees:
            trees[one.file] = _read(folder / one.file)
        lines, sites, imports = trees[one.file]
        site = sites.get((one.line, one.column - 1))
        patch = site and _patch(one, site, lines[one.line - 1])
        if patch:
            edits[one] = patch._replace(imports=imports)
    return edits


def suggestions(report: Report) -> dict[Finding, str]:
    """Return what to write instead, as text, for those findings of a report for which that is known."""
    return {
        one: patch.text + " (--fix writes it)" * patch.safe
        for one, patch in patches(report, report.findings).items()
    }


def apply(report: Report, found: Iterable[Finding]) -> list[str]:
    """Apply the safe edits to the files; return `file:line` of each, and import asyncio where needed."""
    folder = Path(report.root) if Path(report.root).is_dir() else Path(report.root).parent
    done: dict[str, list[Patch]] = {}
    for one, patch in patches(report, found).items():
        if patch.safe:
            done.setdefault(one.file, []).append(patch)
    for file, edits in done.items():
        path = folder / file
        text = path.read_bytes().decode("utf-8")
        ends = "\r\n" if "\r\n" in text else "\n"
        lines = text.split(ends)
        for patch in sorted(edits, reverse=True):
            lines[patch.line - 1] = patch.applied(lines[patch.line - 1])
        if edits[0].imports is not None:
            lines.insert(edits[0].imports, "import asyncio")
        path.write_bytes(ends.join(lines).encode("utf-8"))
    return [f"{file}:{one.line}" for file, edits in done.items() for one in sorted(edits)]


class _Site(NamedTuple):
    """A call in the body of a coroutine, and how it stands there."""

    call: ast.Call
    alone: bool
    """It is a statement of its own, or what one assigns or returns."""
    guarded: bool
    """A synchronous `with` is held around it."""


def _read(path: Path) -> tuple[list[str], dict[tuple[int, int], _Site], int | None]:
    try:
        text = decoded(path.read_bytes())
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return [], {}, None
    lines = text.split("\n")
    found: dict[tuple[int, int], _Site] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            for statement in node.body:
                _calls(statement, lines, found, alone=False, guarded=False)
    return lines, found, _import_at(tree)


def _calls(
    node: ast.AST,
    lines: list[str],
    found: dict[tuple[int, int], _Site],
    *,
    alone: bool,
    guarded: bool,
) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.GeneratorExp):
        return
    if isinstance(node, ast.Call):
        column = len(lines[node.lineno - 1].encode()[: node.col_offset].decode())
        found.setdefault((node.lineno, column), _Site(node, alone, guarded))
    guarded = guarded or isinstance(node, ast.With)
    whole = node.value if isinstance(node, ast.Expr | ast.Assign | ast.Return) else None
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.Await) or not isinstance(child, ast.Call):
            _calls(child, lines, found, alone=child is whole, guarded=guarded)


def _patch(one: Finding, site: _Site, line: str) -> Patch | None:
    call = site.call
    if call.end_lineno != call.lineno or not line.isascii():
        return None  # the edit is to be read at a glance
    start, end = call.col_offset, call.end_col_offset or 0
    leaf = one.leaf[2]
    if leaf.startswith("importlib."):
        return None  # its place is before the loop runs
    plain = not any(isinstance(part, ast.Starred) for part in call.args) and not call.keywords
    if leaf == "time.sleep":
        if len(call.args) != 1 or not plain:
            return None
        delay = call.args[0]
        text = f"await asyncio.sleep({line[delay.col_offset : delay.end_col_offset]})"
        alone = site.alone
        return Patch(
            one.line, start, end, text if alone else f"({text})", alone and not site.guarded
        )
    if one.kind not in _THREADED or leaf.rpartition(".")[2] in _UNFINISHED or site.guarded:
        return None
    if leaf.rpartition(".")[2].startswith("__") or isinstance(call.func, ast.Call):
        return None
    function = line[call.func.col_offset : call.func.end_col_offset]
    rest = line[call.func.end_col_offset : end].removeprefix("(").removesuffix(")").strip()
    if "(" in function or leaf.rpartition(".")[2][:1].isupper():
        return None  # what it is called on may block as well, or is one class's instance
    text = f"await asyncio.to_thread({', '.join(filter(None, (function, rest)))})"
    return Patch(one.line, start, end, text if site.alone else f"({text})", safe=False)


def _import_at(tree: ast.Module) -> int | None:
    """Return before which line, from 0, `import asyncio` is to stand; None if it is there."""
    imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    if any(
        isinstance(one, ast.Import) and any(n.name == "asyncio" and not n.asname for n in one.names)
        for one in imports
    ):
        return None
    future = [one for one in imports if getattr(one, "module", "") == "__future__"]
    later = [one for one in imports if one not in future]
    if later:
        return later[0].lineno - 1
    first = tree.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    before = future[-1] if future else first if documented else None
    return 0 if before is None else before.end_lineno
