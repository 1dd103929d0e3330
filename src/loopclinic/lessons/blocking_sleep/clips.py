"""A clip on its way to the speech-to-text service: once, and what its refusal is called."""

import os

from aiohttp import ClientSession

from loopclinic.servers import is_flaky

__all__ = ["FLAKY", "Unavailable", "clip_for", "post"]

FLAKY = 0.5
"""Share of all clips that the service fails at first."""


class Unavailable(Exception):  # noqa: N818 - as the lab calls it
    """The service asks to be tried again later."""


def clip_for(group: str) -> bytes:
    """Return a clip never seen before: of a `flaky` caller, or of any other."""
    while True:
        clip = os.urandom(200)
        if is_flaky(clip, FLAKY) == (group == "flaky"):
            return clip


async def post(session: ClientSession, clip: bytes) -> str:
    """Send a clip once and return its text.

    Raises:
        Unavailable: the service is overloaded.
    """
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in {429, 503}:
            raise Unavailable(f"status {response.status}")
        response.raise_for_status()
        return str((await response.json())["text"])
