import smtplib
from email.message import EmailMessage


class Mailer:
    def __init__(self, host: str) -> None:
        self.host = host

    def compose(self, to: str, body: str) -> EmailMessage:
        message = EmailMessage()
        message["To"] = to
        message.set_content(body)
        return message

    def send(self, message: EmailMessage) -> None:
        with smtplib.SMTP(self.host, timeout=10) as smtp:
            smtp.send_message(message)


async def invite(host: str, message: EmailMessage) -> None:
    smtp = smtplib.SMTP_SSL(host, timeout=10)  # expect: blocking-net
    try:
        smtp.send_message(message)  # expect: blocking-net
    finally:
        smtp.quit()  # expect: blocking-net
