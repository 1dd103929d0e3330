"""Pattern: a result is kept in something that outlives the function, and made only while it is missing."""

import ast
import re

from loopclinic.scanner.facts.expressions import Expressions
from loopclinic.scanner.facts.fact_records import FALLBACK, ONCE, ONCE_A_KEY
from loopclinic.scanner.facts.function_scope import Scope
from loopclinic.scanner.facts.syntax_queries import inside, missing, named, spelled
from loopclinic.scanner.facts.values import tail, uncalled

_SWITCH = re.compile(r"(^|_)(py)?test|debug|(^|_)docs?(_|$)|profil", re.IGNORECASE)
"""Names of variables of the environment by which developers switch something on."""
_MISSING = frozenset(
    {
        "KeyError",
        "IndexError",
        "LookupError",
        "AttributeError",
        "ImportError",
        "ModuleNotFoundError",
    }
)
_THREAD = re.compile(r"\b(current_thread|currentThread|get_ident|get_native_id)\b")
_KEEPERS = frozenset({"cache", "lru_cache", "cached_property"})
"""Decorators of functools that keep a result, for each choice of arguments."""


def keeps(scope: Scope) -> int:
    """Return the flags of all that a function does whose result a decorator keeps."""
    if _KEEPERS.isdisjoint(tail(uncalled(one)) for one in scope.decorators):
        return 0
    return ONCE_A_KEY if len(scope.parameters) > ("method" in scope.traits) else ONCE


def kept(reader: Expressions, node: ast.If) -> tuple[int, int]:
    """Return the flags of what runs only while a result is missing: within an `if`, and behind it."""
    lacking = _lacking(node.test)
    if lacking and (flags := _outlives(reader, lacking)):
        assigned = (one for one in inside(node.body) if isinstance(one, ast.Assign))
        if any(named(target) == lacking for one in assigned for target in one.targets):
            return flags, 0
    only = node.body[0]
    if len(node.body) == 1 and isinstance(only, ast.Return) and only.value is not None:
        present = named(only.value)
        if present and present == _lacking(ast.UnaryOp(ast.Not(), node.test)):
            return 0, _outlives(reader, present)
        test = node.test
        if present and isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            asked = (_lacking(ast.UnaryOp(ast.Not(), one)) for one in test.values)
            return 0, ONCE_A_KEY if present in asked and _outlives(reader, present) else 0
    return 0, 0


def rarely(reader: Expressions, test: ast.expr) -> tuple[int, int]:
    """Return the flags of what runs where a test is true, and where it is false, if that is hardly ever.

    A library once installed stays; a thread is not alive before it starts; a variable of the environment
    switches tests on; who asks for the number of its thread tells the loop's own from others.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return rarely(reader, test.operand)[::-1]
    if isinstance(test, ast.BoolOp):
        true, false = zip(*(rarely(reader, one) for one in test.values), strict=True)
        return (max(true), 0) if isinstance(test.op, ast.And) else (0, max(false))
    if isinstance(test, ast.Name):
        return reader.scope.rare.get(test.id, (0, 0))
    if isinstance(test, ast.Compare):
        one = test.left
        sides = (one, test.comparators[0])
        if here := next((side for side in sides if _THREAD.search(_asked(side))), None):
            same = isinstance(test.ops[0], ast.Eq | ast.Is)
            of_loop = not _of_another(reader, sides[here is one])
            return (0, ONCE) if same is of_loop else (ONCE, 0)
        if isinstance(test.ops[0], ast.In) and "environ" in spelled(test.comparators[0]):
            return (ONCE, 0) if _SWITCH.search(_text(one)) else (0, 0)
        if isinstance(test.ops[0], ast.Is) and ast.unparse(sides[1]) == "None":
            return rarely(reader, one)[::-1]
        return rarely(reader, one) if isinstance(test.ops[0], ast.Eq | ast.IsNot) else (0, 0)
    if isinstance(test, ast.Subscript):
        asked = _text(test.slice) if spelled(test.value).endswith("environ") else ""
        return (ONCE, 0) if _SWITCH.search(asked) else (0, 0)
    if isinstance(test, ast.Call):
        called = spelled(test.func)
        own = called == "self.is_alive" and _is_thread(reader)
        if own or called.endswith(("find_spec", "hread.is_alive")):
            return 0, ONCE
        asks = called.endswith(("environ.get", "getenv")) and bool(test.args)
        return (ONCE, 0) if asks and _SWITCH.search(_text(test.args[0])) else (0, 0)
    return 0, 0


def fallback(reader: Expressions, node: ast.Try, handler: ast.ExceptHandler) -> int:
    """Return the flags of a handler of what is missing: a key of what outlives the function, or anything else."""
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {spelled(one) for one in types if one is not None}
    if not names or not names <= _MISSING:
        return 0
    last = node.body[-1]
    value = getattr(last, "value", None)
    if len(node.body) > 1 or not isinstance(value, ast.Subscript) or "ImportError" in names:
        return FALLBACK
    while isinstance(value.value, ast.Subscript):
        value = value.value
    return _outlives(reader, named(value)) or FALLBACK


def _asked(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call):
            return spelled(node.func)
        node = node.value
    return ""


def _of_another(reader: Expressions, thread: ast.expr) -> bool:
    """Return whether a thread, or its number, is known to be another than the loop's."""
    name = re.sub(r"\.(ident|native_id)$", "", spelled(thread))
    if name == "self" or reader.class_node is None:
        return _is_thread(reader)
    nodes = [*ast.walk(reader.class_node)]
    words = [word for one in nodes if isinstance(one, ast.Call) for word in one.keywords]
    started = {spelled(word.value) for word in words if word.arg == "target"}
    started |= {"self.run"} if _is_thread(reader) else set()
    for method in (one for one in nodes if isinstance(one, ast.FunctionDef)):
        for one in inside(method.body):
            if isinstance(one, ast.Assign) and name in map(spelled, one.targets):
                made = _asked(one.value)
                own = f"self.{method.name}" in started and _THREAD.search(made)
                if own or made.endswith("Thread"):
                    return True
    return False


def _is_thread(reader: Expressions) -> bool:
    owner = reader.scope.owning_class
    bases = reader.classes[owner].bases if owner is not None else ()
    return any(tail(one).endswith(("Thread", "Process")) for one in bases)


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _outlives(reader: Expressions, name: str) -> int:
    """Return the flags for what is kept as a member or in the module, by its name as written; else 0."""
    root = name.partition(".")[0].removesuffix("[]")
    value = reader.lookup(root)
    tag = "" if value is None else value[0]
    if tag == "self" and _given_at_first(reader, name):
        return 0
    if "." in name or name.endswith("[]"):
        is_kept = tag in (("self", "cls", "g", "if", "im") if "." in name else ("g",))
    else:
        is_kept = root in reader.scope.outer
    return (ONCE_A_KEY if name.endswith("[]") else ONCE) if is_kept else 0


def _given_at_first(reader: Expressions, name: str) -> bool:
    """Return whether only `__init__` assigns a member: it keeps no result, it is a setting."""
    methods = [] if reader.class_node is None else reader.class_node.body
    assigning = {
        method.name
        for method in methods
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        for one in ast.walk(method)
        if isinstance(one, ast.Name | ast.Attribute | ast.Subscript)
        and isinstance(one.ctx, ast.Store)
        and named(one) == name
    }
    return assigning == {"__init__"}


def _lacking(test: ast.expr) -> str:
    """Return what a test finds missing, and nothing else: `x is None or expired` asks more."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return parts.pop() if len(parts := {missing(one) for one in test.values}) == 1 else ""
    return missing(test)
