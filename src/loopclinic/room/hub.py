"""Live room as a service of JupyterHub: asks the hub who somebody is, and the room for the address of its page."""

import json
import os
from http.client import HTTPException
from urllib.error import HTTPError

import aiohttp

from loopclinic.room.live_room import Allowance, RefusedError
from loopclinic.room.sender import VARIABLE, request

_PATIENCE = aiohttp.ClientTimeout(total=4)
_REMEMBERED = 1000


class Hub:
    """The hub that started this service; `facilitators` are the names in ROOM_ADMINS."""

    def __init__(self) -> None:
        self._url = f"{os.environ['JUPYTERHUB_API_URL']}/user"
        scope = "access:services"
        self._scopes = {scope, f"{scope}!service={os.environ['JUPYTERHUB_SERVICE_NAME']}"}
        self.facilitators = {*os.environ.get("ROOM_ADMINS", "").split()}
        self._known: dict[str, str] = {}

    async def name_of(self, token: str, strangers: Allowance, address: str) -> str:
        """Return whose token it is; RefusedError if it is nobody's, or the hub does not answer.

        A token that was good stays so, so that a flood of others (`strangers`) keeps nobody out who is in.
        """
        if found := self._known.get(token):
            return found
        strangers.take(address)
        try:
            async with (
                aiohttp.ClientSession(timeout=_PATIENCE) as session,
                session.get(self._url, headers={"Authorization": f"token {token}"}) as answer,
            ):
                who = await answer.json() if answer.status == 200 else {"scopes": []}
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RefusedError(503, "The hub does not answer.", 5) from error
        if who.get("kind") != "user" or not self._scopes & {*who["scopes"]}:
            raise RefusedError(403, "This hub knows no learner with this token.")
        self._known[token] = str(who["name"])
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return self._known[token]


def page_on_hub() -> str:
    """Return the address of the page, which a facilitator gets from the hub's room; RefusedError otherwise."""
    address, token = os.environ[VARIABLE], os.environ.get("JUPYTERHUB_API_TOKEN", "")
    try:
        key = json.loads(request("GET", f"{address}/key", token))["key"]
    except HTTPError as error:
        said = "Only those whom ROOM_ADMINS of the hub names get the address of the page."
        raise RefusedError(error.code, said if error.code == 403 else f"{error}.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise RefusedError(503, f"The room at {address} does not answer ({error}).") from error
    base = f"the address of this hub, then {os.environ.get('JUPYTERHUB_BASE_URL', '/')}"
    if hub := os.environ.get("JUPYTERHUB_PUBLIC_HUB_URL"):
        base = hub.removesuffix("hub/")
    return f"{base}services/room/?key={key}"
