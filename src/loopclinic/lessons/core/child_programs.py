"""Runs programs to their end for a lesson; none outlives the wait for it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path


async def ran(
    command: Sequence[str],
    heard: bytes | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience: float = 30.0,
) -> tuple[int | None, bytes, bytes]:
    """Run a program to its end, for `patience` seconds at most; return status, output and errors.

    `heard` is what it reads.

    Raises:
        TimeoutError: it was not over then, and was killed.
    """
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    stdin = nothing if heard is None else pipe
    process = await asyncio.create_subprocess_exec(
        *command, stdin=stdin, stdout=pipe, stderr=pipe, env=environ, cwd=cwd
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(heard), patience)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out, err
