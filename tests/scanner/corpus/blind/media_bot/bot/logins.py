import asyncio
import hashlib
import hmac

import bcrypt


class Logins:
    def __init__(self, rounds: int = 12) -> None:
        self.rounds = rounds
        self._hashes: dict[str, bytes] = {}

    async def register(self, name: str, password: str) -> None:
        salt = bcrypt.gensalt(self.rounds)
        self._hashes[name] = bcrypt.hashpw(password.encode(), salt)  # expect: cpu-bound

    async def verify(self, name: str, password: str) -> bool:
        return await asyncio.to_thread(bcrypt.checkpw, password.encode(), self._hashes[name])  # clean: in a thread

    async def verify_quickly(self, name: str, password: str) -> bool:
        return self._check(name, password)  # expect-via: cpu-bound

    def _check(self, name: str, password: str) -> bool:
        return bcrypt.checkpw(password.encode(), self._hashes[name])

    async def signature(self, body: bytes, secret: bytes) -> str:
        return hmac.new(secret, body, hashlib.sha256).hexdigest()  # clean: one small digest

    async def derive(self, password: str, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 600_000)  # expect: cpu-bound
