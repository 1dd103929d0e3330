"""Delivery receipts arrive here, in Flask."""

import asyncio
import threading

from flask import Flask, request

from verify.limits import RateLimiter
from verify.sender import SmsSender
from verify.service import Verification

app = Flask(__name__)
service = Verification(SmsSender(), RateLimiter())


@app.post("/status")
def status() -> tuple[str, int]:
    phone = request.form["To"]
    if request.form["MessageStatus"] == "failed":
        asyncio.run(service.forgive(phone))  # expect: loop-per-call
    return "", 204


@app.post("/resend")
def resend() -> tuple[str, int]:
    phone = request.form["To"]

    def work() -> None:
        asyncio.new_event_loop().run_until_complete(service.start(phone))  # expect: loop-per-call

    threading.Thread(target=work, daemon=True).start()
    return "", 202


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
