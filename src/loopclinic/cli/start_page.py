"""Jupyter server extension: `/start` opens the first notebook, at first with the file browser closed.

Open, it would take the room of plots and tables: a quarter of a window of 1280 pixels. Warnings that a newcomer could take for the kit's are kept out of the server's log.
"""

import json
import logging
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from jupyterlab_server.workspaces_handler import WorkspacesManager
from tornado import web

from loopclinic.cli.lab import FIRST
from loopclinic.paths import state_dir

_CLOSED = {"left": {"collapsed": True, "visible": True, "widgets": []}}
_NOT_OURS = ("is not trusted", "websocket_ping_timeout")


class FirstPage(JupyterHandler):
    """Redirect a request with the right token to the first notebook."""

    @web.authenticated
    def get(self) -> None:
        """Redirect to the first notebook; by now the login cookie is set."""
        _begin_closed()
        self.redirect(url_path_join(self.base_url, "lab/tree", FIRST))


def _begin_closed() -> None:
    """Write JupyterLab's layout with the file browser closed, unless there is a layout already."""
    workspaces = WorkspacesManager(str(state_dir() / "lab-workspaces"))
    if not workspaces.list_workspaces():
        metadata = {"id": "default"}
        data = {"layout-restorer:data": _CLOSED}
        workspaces.save("default", json.dumps({"data": data, "metadata": metadata}))


def is_ours(record: logging.LogRecord) -> bool:
    """Return whether a log record is worth showing: False for known warnings of other projects."""
    return not any(words in record.getMessage() for words in _NOT_OURS)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    start = url_path_join(server.web_app.settings["base_url"], "start")
    server.web_app.add_handlers(".*$", [(start, FirstPage)])
    for handler in server.log.handlers:
        handler.addFilter(is_ours)
