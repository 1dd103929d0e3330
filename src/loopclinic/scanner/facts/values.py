"""Values: where each comes from, as small tuples (the scanner's own expression language).

A value is None (unknown) or a tuple whose first item is one of the tags below. Local names are
already replaced by what was assigned to them, so a value reads only module-level names:

    ("g", name)                      a module-level or built-in name
    ("im", "a.b")                    an imported module
    ("if", level, "a.b", name)       a name imported from a module
    ("a", base, name)                an attribute
    ("c", callee, args, consts)      the result of a call
    ("w", value)                     what awaiting it gives
    ("e", value) ("E", value)        what entering it gives, by `with` or `async with`
    ("i", value) ("I", value)        an element of it, by `for` or `async for`
    ("s", value)                     a subscript of it
    ("u", values)                    one of these
    ("fn", function) ("cl", class)   defined in this file, by position in its table
    ("p", function, position)        a parameter
    ("self", class) ("cls", class)   the first parameter of a method
    ("super", class)                 super() in a method
    ("t", annotation)                an instance of what an annotation names
    ("an", base, args)               a subscripted annotation
    ("tu", values)                   a tuple, ("ls", values) a list or set, ("di", values) a dict
    ("d", left)                      left / something
    ("k", name)                      a literal of that built-in type, or "address" of a numeric host
    ("v", constant)                  a default that is None, a bool or a number
    ("lit", constants)               an annotation of these literals
    ("is", value, annotation)        the value, where a test found it to be of that type
    ("not", value, annotation)       where it is not; None for the annotation means a coroutine or its function
"""

from typing import Any

Value = tuple[Any, ...] | None

FINITE = 4
"""How many alternatives of one value are followed."""


def tail(value: Value) -> str:
    """Return the last name of a name or attribute; empty if it is neither."""
    return str(value[-1]) if value is not None and value[0] in ("g", "a", "if") else ""


def uncalled(value: Value) -> Value:
    """Return `retry` for `retry` and for `retry(3)`, which a decorator may be."""
    return value[1] if value is not None and value[0] == "c" else value


def unsubscripted(value: Value) -> Value:
    """Return `Base` for `Base` and for `Base[int]`, which a base class may be."""
    return value[1] if value is not None and value[0] == "an" else value


def dotted(value: Value) -> str:
    """Return a value as a reader would write it, for messages: `self.db.execute`."""
    if value is None:
        return "?"
    tag = value[0]
    if tag in ("g", "im"):
        return str(value[1])
    if tag == "if":
        return str(value[3])
    if tag == "a":
        base = dotted(value[1])
        return str(value[2]) if base in ("?", "…") else f"{base}.{value[2]}"
    if tag == "c":
        return f"{dotted(value[1])}()"
    if tag in ("self", "cls", "super"):
        return "super()" if tag == "super" else str(tag)
    if tag in ("w", "e", "E", "i", "I", "s", "d"):
        return dotted(value[1])
    return "…"
