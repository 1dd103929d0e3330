import os
from pathlib import Path

from .abstract import Storage


class LocalStorage(Storage):
    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    def _write(self, key: str, body: bytes) -> None:
        (self.root / key).write_bytes(body)

    def read(self, key: str) -> bytes:
        with open(self.root / key, "rb") as file:
            return file.read()

    @property
    def size(self) -> int:
        return sum(one.stat().st_size for one in self.root.iterdir())

    @property
    def title(self) -> str:
        return self.root.name.title()
