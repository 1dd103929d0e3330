"""Log-in links by mail. Not mounted yet."""

from fastapi import APIRouter

from ..adapters.mailer import Mailer
from ..cache import get_redis
from ..security import new_token

router = APIRouter(prefix="/beta/sessions")
mailer = Mailer()


def remember(email, seconds=900, async=False):
    token = new_token()
    get_redis().setex(f"link:{token}", seconds, email)
    return token


@router.post("/")
async def send_link(email: str) -> dict:
    token = remember(email, async=True)
    await mailer.send_async(email, "Your link", f"https://moorings.example/log-in/{token}")
    return {"status": "sent"}
