"""A server extension: `/start` is the first notebook, with the file browser at the kit's root.

JupyterLab shows a notebook's own folder unless the address says otherwise, and the address that
Jupyter prints can't carry a query of ours beside its token; so a short one leads to the long one.
"""

from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from loopclinic.cli.lab import FIRST

__all__ = ["FirstPage"]


class FirstPage(JupyterHandler):
    """Lead whoever brings the token to the first notebook."""

    @web.authenticated
    def get(self) -> None:
        """Redirect; the token has become a cookie by now."""
        self.redirect(url_path_join(self.base_url, "lab/tree", FIRST) + "?file-browser-path=/")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    start = url_path_join(server.web_app.settings["base_url"], "start")
    server.web_app.add_handlers(".*$", [(start, FirstPage)])
