import csv
import json
import os
from pathlib import Path

import aiofiles
import aiofiles.os


class Report:
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __str__(self) -> str:
        return f"report in {self.folder}"

    def _dump(self, rows: list[list[str]]) -> None:
        with (self.folder / "rows.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    async def save(self, rows: list[list[str]]) -> None:
        self._dump(rows)  # expect-via: blocking-file-io

    async def save_json(self, rows: list[list[str]]) -> None:
        (self.folder / "rows.json").write_text(json.dumps(rows))  # expect: blocking-file-io

    async def save_well(self, rows: list[list[str]]) -> None:
        await aiofiles.os.makedirs(self.folder, exist_ok=True)  # clean: aiofiles
        async with aiofiles.open(self.folder / "rows.json", "w") as file:  # clean: aiofiles
            await file.write(json.dumps(rows))

    async def packed(self) -> int:
        with open(self.folder / "rows.json.gz", "rb") as file:  # expect: blocking-file-io
            return len(file.read())  # expect: blocking-file-io

    async def names(self) -> list[str]:
        return os.listdir(self.folder)  # expect: blocking-file-io

    async def joined(self, name: str) -> str:
        return os.path.join(self.folder, os.path.basename(name))  # clean: works on strings

    async def drop(self) -> None:
        os.remove(self.folder / "rows.csv")  # expect: blocking-file-io

    async def label(self) -> str:
        return str(self)  # clean: formats a path
