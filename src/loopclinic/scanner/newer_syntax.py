"""Rewrites syntax that is newer than this Python into what it can parse, on the same lines."""

import ast
import re
import sys
from collections.abc import Iterator

_GENERIC = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def|class|type)[ \t]+\w+[ \t]*\[", re.MULTILINE)
_ALIAS = re.compile(r"^([ \t]*)type([ \t]+)(\w+)([ \t]*=)", re.MULTILINE)
_SEVERAL = re.compile(
    r"^([ \t]*except\*?)[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)+)[ \t]*:", re.MULTILINE
)
_TEMPLATE = re.compile(r"\b(?:t|rt|tr|T)(?=[\"'])")
_UNPACKED = re.compile(r"(?<=[\[({])\*{1,2}(?=[^\[\](){}\n]*[ \t]for[ \t])")
_FORMATTED = re.compile(r"\b[fF](?=([\"'])(?!\1))")


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a file, also where it is written for a newer Python.

    Raises:
        SyntaxError, ValueError: it is not Python, or newer than what is known here.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        older = rewritten(source)
        if older == source:
            raise
        try:
            return ast.parse(older)
        except SyntaxError:
            pass
        raise


def rewritten(source: str) -> str:
    """Return the same with the older form of each newer one; lines stay where they are.

    Type parameters and aliases of 3.12, quotes inside f-strings of 3.12, `except A, B:` and template strings
    of 3.14, unpacking in comprehensions of 3.15. A template string is read as an f-string.
    """
    source = _SEVERAL.sub(r"\1 (\2):", source)
    source = _TEMPLATE.sub("f", source)
    source = _UNPACKED.sub("", source)
    parts: list[str] = []
    end = 0
    for start, stop in _brackets(source):
        blank = re.sub(r"[^\n]", " ", source[start:stop])
        parts += [source[end:start], blank.replace("\n", "\\\n")]
        end = stop
    source = _ALIAS.sub(r"\1\3\2    \4", "".join([*parts, source[end:]]))
    if sys.version_info < (3, 12) and _FORMATTED.search(source):
        source = "\n".join(map(_requoted, source.split("\n")))
    return source


def _brackets(source: str) -> Iterator[tuple[int, int]]:
    """Yield where the type parameters of functions, classes and aliases begin and end."""
    for match in _GENERIC.finditer(source):
        depth, at = 1, match.end()
        while depth and at < len(source):
            depth += {"[": 1, "]": -1}.get(source[at], 0)
            at += 1
        yield match.end() - 1, at


def _requoted(line: str) -> str:
    """Return a line whose f-strings have no quotes of their own kind inside their braces."""
    at = 0
    while match := _FORMATTED.search(line, at):
        quote, at = match[1], match.end() + 1
        depth = 0
        while at < len(line) and (depth or line[at] != quote):
            if line[at] == "{":
                depth += 1
            elif line[at] == "}":
                depth -= 1
            elif depth and line[at] == quote:
                line = line[:at] + ("'" if quote == '"' else '"') + line[at + 1 :]
            at += 1
        at += 1
    return line
