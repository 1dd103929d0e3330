"""Programs that a lesson runs and listens to, and that never outlive whoever waits for them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["ran", "started"]

_PATIENCE = 30.0


@asynccontextmanager
async def started(
    command: Sequence[str],
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program, its output and its errors to be read; kill it if it still runs in the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ran(
    command: Sequence[str],
    heard: bytes | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience: float = _PATIENCE,
) -> tuple[int | None, bytes, bytes]:
    """Run a program to its end, for `patience` seconds at most; return status, output and errors.

    `heard` is what it reads.

    Raises:
        TimeoutError: it was not over then, and was killed.
    """
    stdin = asyncio.subprocess.DEVNULL if heard is None else asyncio.subprocess.PIPE
    async with started(command, stdin=stdin, environ=environ, cwd=cwd) as process:
        out, err = await asyncio.wait_for(process.communicate(heard), patience)
    return process.returncode, out, err
