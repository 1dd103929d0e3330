import logging
import time
from concurrent.futures import ThreadPoolExecutor

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from ..config import get_settings

logger = logging.getLogger(__name__)

# Four are plenty: the provider allows ten messages a second.
_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sms")


class SmsGateway:
    def __init__(self) -> None:
        settings = get_settings()
        self.client = Client(settings.twilio_account, settings.twilio_token)

    def send(self, phone: str, text: str) -> str | None:
        for attempt in range(3):
            try:
                return self.client.messages.create(to=phone, from_="+15550117", body=text).sid
            except TwilioRestException as error:
                logger.warning("attempt %d: %s", attempt + 1, error)
                time.sleep(1.5**attempt)
        return None

    def send_later(self, phone: str, text: str) -> None:
        _pool.submit(self.send, phone, text)

    async def send_code(self, phone: str, code: str) -> bool:
        return self.send(phone, f"Your gate code is {code}") is not None
