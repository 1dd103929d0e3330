"""Passwords and gate codes."""

import asyncio
import hmac
import secrets
import time

import bcrypt

from .config import get_settings


def hash_password(password: str) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(12))


def check_password(password: str, hashed: bytes) -> bool:
    return bcrypt.checkpw(password.encode(), hashed)


async def check_password_async(password: str, hashed: bytes) -> bool:
    return await asyncio.to_thread(check_password, password, hashed)


async def authenticate(password: str, hashed: bytes | None) -> bool:
    if hashed is None:
        # as slow as a real check, so that nobody learns which addresses exist
        time.sleep(0.25)
        return False
    return check_password(password, hashed)


def gate_code(booking_id: int) -> str:
    seed = f"{booking_id}:{get_settings().storage_secret}".encode()
    digest = hmac.new(seed, b"gate", "sha256").hexdigest()
    return str(int(digest[:8], 16))[-6:].zfill(6)


def new_token() -> str:
    return secrets.token_urlsafe(24)
