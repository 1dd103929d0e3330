"""Tasks of asyncio by name in a list that each leaves itself; close waits for one after the other until a deadline."""

import asyncio
import sys
import traceback


class Jobs:
    def __init__(self, on_error):
        self.on_error, self.running, self.closed, self.told = on_error, [], False, False

    def start(self, name, factory):
        if self.closed:
            return False

        async def run():
            try:
                await factory()
            except Exception as error:
                await self.report(name, error)
            finally:
                self.running.remove(task)

        task = asyncio.get_running_loop().create_task(run(), name=f"job {name}")
        self.running.append(task)
        return True

    async def report(self, name, error):
        try:
            self.on_error(name, error)
        except Exception:
            traceback.print_exc(file=sys.stderr)

    async def close(self, grace):
        self.closed = True
        end = asyncio.get_running_loop().time() + grace
        while self.running and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self.running[:], timeout=left)
        if not self.told:
            self.told = True
            for task in self.running:
                task.cancel("closing")
        while self.running:
            await asyncio.wait(self.running[:1])
