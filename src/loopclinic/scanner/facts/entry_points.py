"""Notes what calls a function from outside, from its decorators, name and parameters: a route, a bot, a worker."""

import ast
import re
from typing import Any

from loopclinic.scanner.facts.syntax_queries import Nodes, contains_await, of_types, spelled
from loopclinic.scanner.name_sets import words

_VERBS = words("get post put patch delete head options websocket route api_route")
REQUESTS = _VERBS | words(
    "middleware exception_handler tool call_tool websocket_route get_mapping post_mapping"
)
_STARTS = words(
    "startup before_serving before_server_start after_server_start main_process_start on_startup"
)
_STOPS = words(
    "shutdown after_serving before_server_stop after_server_stop main_process_stop on_shutdown"
)
_START_NAMES = _STARTS | words("lifespan setup_hook cog_load startup_event async_setup_entry")
_STOP_NAMES = _STOPS | words("shutdown_event cog_unload on_cleanup async_unload_entry teardown")
_MAIN = words("main amain async_main main_async run_main")
_BOTS = words(
    "hybrid_command slash_command listener event message_handler callback_query_handler"
    " callback_query context_menu autocomplete on_message on_callback_query message_command"
    " user_command hybrid_group inline_query on_inline_query edited_message channel_post"
    " on_cmd on_command on_filters on_edited_message on_raw_update cat_cmd admin_cmd"
)
_TALKS = words("ctx interaction inter update callback_query message")
_WORKERS = words(
    "loop actor agent subscriber activity repeat_every scheduled_job cron interval consumer"
    " step durable_task shared_task periodic_task repeat_at"
)
_COMMANDS = words("click typer cli app asyncclick cyclopts cloup")
_RESPONDERS = words(
    "RequestHandler WebSocketHandler HTTPEndpoint WebSocketEndpoint View APIView MethodView"
    " HTTPMethodView AsyncWebsocketConsumer AsyncJsonWebsocketConsumer AsyncHttpConsumer"
)
_RESPONDING = _VERBS | words("receive receive_json connect disconnect on_receive on_connect open")
_REGISTERING = words(
    "add_get add_post add_put add_patch add_delete add_head add_view add_route add_api_route"
    " add_websocket_route add_api_websocket_route add_url_rule Route WebSocketRoute APIRoute"
)
_ADDING = words("get post put patch delete head view route")
ROUTING = _REGISTERING | _ADDING
"""Names of calls that may register a function for a route."""
INCLUDING = words("include_router register_blueprint add_subapp mount add_routes Mount")
"""Names of calls that take a router into another, or into the application."""

_RIGHTS = re.compile(
    r"(^|_)(owner|admin|administrator|super_?user|sudo|staff)s?(_|$)", re.IGNORECASE
)
"""Names of those who run a program and ask for little."""

Entry = tuple[str, str]
"""What calls a function, one of `CONTEXTS` of loopclinic.scanner.finding, and by which name."""


def entry_of(node: ast.FunctionDef | ast.AsyncFunctionDef, bases: tuple[str, ...]) -> Entry:
    """Return what calls a function, as far as its own lines and its class's bases tell."""
    arguments = [one for one in node.args.args if one.arg not in ("self", "cls")]
    first = arguments[0].arg if arguments else ""
    for decorator in node.decorator_list:
        found = _decorated(decorator, node.name, first)
        if found is not None:
            return found
    if node.name in _START_NAMES or node.name.endswith("_lifespan"):
        return "start", node.name
    if node.name in ("setup", "teardown") and first == "bot":  # an extension of a Discord bot
        return ("start" if node.name == "setup" else "stop"), node.name
    if node.name in _STOP_NAMES:
        return "stop", node.name
    if not isinstance(node, ast.AsyncFunctionDef):
        return "", ""
    if node.name in _RESPONDING and any(one in _RESPONDERS for one in bases):
        return "request", f"{node.name.upper() if node.name in _VERBS else node.name}"
    annotation = spelled(arguments[0].annotation) if arguments and arguments[0].annotation else ""
    if first == "request" or annotation.rpartition(".")[2] in ("Request", "HttpRequest"):
        return "request", node.name
    if [one.arg for one in arguments[:2]] == ["update", "context"]:
        return "bot", node.name
    if node.name == "initialize" and any(one.endswith("Application") for one in bases):
        return "start", node.name
    if node.name.strip("_") in _MAIN:
        return "once", node.name
    return "", ""


def restricted(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether only those who run the program may ask for a function, by its decorators and defaults."""
    defaults = (*node.args.defaults, *filter(None, node.args.kw_defaults))
    calls = [one for one in (*node.decorator_list, *defaults) if isinstance(one, ast.Call)]
    parts = [part for one in calls for part in ast.walk(one)]
    names = (getattr(part, name, None) for part in parts for name in ("id", "attr", "arg"))
    return any(_RIGHTS.search(one) for one in names if one)


def _decorated(decorator: ast.expr, name: str, first: str) -> Entry | None:
    call = decorator if isinstance(decorator, ast.Call) else None
    path = spelled(call.func if call is not None else decorator)
    base, _, last = path.rpartition(".")
    given = _first_text(call)
    if last in ("on_event", "listener") and (given in _STARTS or given in _STOPS):
        return ("start" if given in _STARTS else "stop"), name
    if last in _STARTS or last in _STOPS:
        return ("start" if last in _STARTS else "stop"), name
    if last in REQUESTS and call is not None and (last not in _VERBS or given[:1] in ("/", "")):
        return ("request", _route(call, last, given)) if base else None
    if last in ("command", "group", "callback"):
        root = base.partition(".")[0]
        if first in _TALKS and root not in ("click", "typer"):
            return "bot", name
        return ("command", name) if root in _COMMANDS or not first else ("bot", name)
    if last in _BOTS or (last == "message" and base):
        return "bot", name
    return ("worker", name) if last in _WORKERS and base else None


def _route(call: ast.Call, verb: str, path: str) -> str:
    """Return method and path of a route, `POST /orders`; the path is empty at its router's own."""
    if path[:1] != "/" and (not call.args or verb not in _VERBS):
        return ""
    if verb in ("route", "api_route"):
        methods = [one.value for one in call.keywords if one.arg == "methods"]
        verb = _first_text(methods[0]) if methods else ""
    return f"{'WebSocket' if verb.startswith('websocket') else verb.upper()} {path}"


def registered(call: ast.Call, name: str) -> str:
    """Return method and path of a route that a call registers a function for, or nothing."""
    texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
    path = next((one for one in texts if isinstance(one, str) and one[:1] == "/"), "")
    if not path or (name in _ADDING and len(call.args) == 1):
        return ""
    verb = name.removeprefix("add_")
    return f"{verb.upper()} {path}" if verb in _VERBS - {"route", "api_route"} else path


def included(call: ast.Call) -> tuple[str, list[ast.expr]]:
    """Return the prefix that a call gives to what it includes, with `=` where it replaces one, and that."""
    named = {one.arg: one.value for one in call.keywords}
    prefix = named.get("prefix") or named.get("url_prefix") or next(iter(call.args), None)
    text = prefix.value if isinstance(prefix, ast.Constant) else ""
    inner = [*call.args, *filter(None, map(named.get, ("app", "routes", "router", "blueprint")))]
    text = text if isinstance(text, str) else ""
    return "=" * ("url_prefix" in named and text != "") + text, inner


def _first_text(node: ast.AST | None) -> str:
    """Return the first argument or element, where it is a text."""
    parts: list[Any] = getattr(node, "args", None) or getattr(node, "elts", None) or []
    value = parts[0].value if parts and isinstance(parts[0], ast.Constant) else ""
    return value if isinstance(value, str) else ""


def runs_on(nodes: Nodes) -> bool:
    """Return whether a coroutine of these nodes goes round until something outside ends it.

    One that tries something until it succeeds does not.
    """
    return any(
        not isinstance(one.test, ast.Compare | ast.NamedExpr)
        and not any(isinstance(step, ast.Try) and _leaves(step) for step in one.body)
        and contains_await(one.body)
        for one in of_types(nodes, ast.While)
    )


def _leaves(node: ast.Try) -> bool:
    return isinstance([*node.body, *node.orelse][-1], ast.Break | ast.Return)
