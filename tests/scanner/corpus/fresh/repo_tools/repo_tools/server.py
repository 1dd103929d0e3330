import asyncio
import functools
import os

import anyio
from mcp.server.fastmcp import FastMCP

from .checkout import Checkout

mcp = FastMCP("repo-tools")
checkout = Checkout(os.environ.get("REPO", "."))


@mcp.tool()
async def recent_commits(limit: int = 10) -> str:
    """Summarize what happened lately."""
    commits = checkout.history(limit)  # expect-via: blocking-subprocess
    return "\n".join(f"{one.sha} {one.subject}" for one in commits)


@mcp.tool()
async def recent_commits_elsewhere(limit: int = 10) -> str:
    commits = await asyncio.to_thread(checkout.history, limit)  # clean: runs in a thread
    return "\n".join(one.subject for one in commits)


@mcp.resource("repo://readme")
async def readme() -> str:
    return checkout.readme  # expect-via: blocking-file-io


@mcp.resource("repo://where/{name}")
async def where(name: str) -> str:
    return str(checkout.locate(name))  # clean: joins a path, opens nothing


@mcp.tool()
async def run_tests(target: str) -> str:
    process = await asyncio.create_subprocess_exec("pytest", target)
    code = await process.wait()  # clean: a child of asyncio
    return f"exit {code}"


@mcp.tool()
async def blame(path: str, line: int) -> str:
    look = functools.partial(checkout._git, "blame", f"-L{line},{line}", path)
    return await anyio.to_thread.run_sync(look)  # clean: a partial in a thread


@mcp.tool()
async def diff() -> str:
    return os.popen("git diff --stat").read()  # expect: blocking-subprocess


if __name__ == "__main__":
    mcp.run()
