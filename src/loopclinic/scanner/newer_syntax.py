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
_FORMATTED = re.compile(r"\b[fF](\"{3}|'{3}|[\"'])")


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a file, also where it is written for a newer Python.

    Raises:
        SyntaxError, ValueError: it is not Python, or newer than what is known here.
    """
    tree = _parsed(source)
    if "async" in source or "await" in source:  # outside an async function that is no error before
        compile(tree, "<source>", "exec", dont_inherit=True)
    return tree


def _parsed(source: str) -> ast.Module:
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

    Type parameters and aliases of 3.12, quotes and backslashes inside f-strings of 3.12, `except A, B:` and template strings
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
    return _requoted(source) if sys.version_info < (3, 12) else source


def _brackets(source: str) -> Iterator[tuple[int, int]]:
    """Yield where the type parameters of functions, classes and aliases begin and end."""
    for match in _GENERIC.finditer(source):
        depth, at = 1, match.end()
        while depth and at < len(source):
            depth += {"[": 1, "]": -1}.get(source[at], 0)
            at += 1
        yield match.end() - 1, at


def _requoted(source: str) -> str:
    """Return the same without quotes of their own kind, and backslashes, in the braces of f-strings."""
    text, at = [*source], 0
    while match := _FORMATTED.search(source, at):
        quote, at, depth = match[1], match.end(), 0
        other = "'" if quote == '"' else '"'
        while at < len(text) and (depth or not source.startswith(quote, at)):
            one = text[at]
            if one == "\n" and len(quote) == 1:
                break
            depth += {"{": 1, "}": -1}.get(one, 0)
            if depth and one in (quote, "\\"):
                text[at] = other if one == quote else "_"
            elif one == "\\":
                at += 1
            at += 1
        at += len(quote)
    return "".join(text)
