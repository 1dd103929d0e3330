"""Deploys one service: asks, builds, copies, waits."""

import asyncio
import getpass
import os
import subprocess
import sys
import time
from subprocess import CalledProcessError, check_output


def shell(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def revision() -> str:
    return shell("git", "rev-parse", "HEAD").strip()


class Deployment:
    def __init__(self, service: str) -> None:
        self.service = service
        self.revision = revision()

    async def build(self) -> None:
        subprocess.run(["docker", "build", "-t", self.service, "."], check=True)  # expect: blocking-subprocess

    async def build_well(self) -> int:
        process = await asyncio.create_subprocess_exec("docker", "build", ".")  # clean: asyncio's own
        return await process.wait()

    async def tag(self) -> str:
        return f"{self.service}:{shell('git', 'describe').strip()}"  # expect-via: blocking-subprocess

    async def clean(self) -> None:
        os.system("docker image prune -f")  # expect: blocking-subprocess

    async def logs(self) -> bytes:
        try:
            return check_output(["journalctl", "-u", self.service])  # expect: blocking-subprocess
        except CalledProcessError as error:
            return error.output

    async def rsync(self, target: str) -> int:
        return subprocess.Popen(["rsync", "-a", ".", target]).wait()  # expect: blocking-subprocess

    async def healthy(self) -> bool:
        time.sleep(2)  # expect: blocking-sleep
        return await self._answers()

    async def _answers(self) -> bool:
        process = await asyncio.create_subprocess_exec("curl", "-sf", "localhost/health")
        return await process.wait() == 0


async def confirm(question: str) -> bool:
    return input(f"{question} [y/N] ").lower() == "y"  # expect: blocking-input


async def confirm_well(question: str) -> bool:
    answer = await asyncio.to_thread(input, f"{question} [y/N] ")  # clean: in a thread
    return answer.lower() == "y"


def ask_password() -> str:
    return getpass.getpass("vault password: ")


async def unlock() -> str:
    return ask_password()  # expect-via: blocking-input


async def read_target() -> str:
    return sys.stdin.readline().strip()  # expect: blocking-input


async def main(service: str) -> None:
    deployment = Deployment(service)  # expect-via: blocking-subprocess
    if await confirm(f"deploy {deployment.revision}?"):
        await deployment.build()
        await deployment.healthy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))  # clean: once, at the entry point
