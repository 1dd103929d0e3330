import secrets

from .limits import RateLimiter, remember
from .sender import SmsSender


class Verification:
    def __init__(self, sender: SmsSender, limiter: RateLimiter) -> None:
        self.sender = sender
        self.limiter = limiter

    async def start(self, phone: str) -> bool:
        if not await self.limiter.allowed(phone):
            return False
        code = f"{secrets.randbelow(10**6):06}"
        await remember(phone, code)
        await self.sender.send(phone, f"Your code is {code}")
        return True

    async def forgive(self, phone: str) -> None:
        self.limiter.reset(phone)  # expect-via: blocking-redis
