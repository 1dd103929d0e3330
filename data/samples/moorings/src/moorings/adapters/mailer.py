import asyncio
import smtplib
from email.message import EmailMessage
from pathlib import Path

from ..config import get_settings

TEMPLATES = Path(__file__).parent / "templates"


class Mailer:
    def __init__(self, sender: str = "harbor@moorings.example") -> None:
        self.sender = sender

    def render(self, template: str, **values: object) -> str:
        return (TEMPLATES / f"{template}.txt").read_text().format(**values)

    def _message(self, to: str, subject: str, body: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = to
        message["Subject"] = subject
        message.set_content(body)
        return message

    def send(self, to: str, subject: str, body: str) -> None:
        with smtplib.SMTP(get_settings().smtp_host, timeout=20) as smtp:
            smtp.send_message(self._message(to, subject, body))

    async def send_async(self, to: str, subject: str, body: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.send, to, subject, body)

    async def send_template(self, to: str, subject: str, template: str, **values: object) -> None:
        body = self.render(template, **values)
        await self.send_async(to, subject, body)
