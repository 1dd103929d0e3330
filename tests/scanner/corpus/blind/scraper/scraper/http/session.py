import logging
import time as clock

import requests as rq
from requests.adapters import HTTPAdapter

log = logging.getLogger(__name__)


class HttpSession:
    def __init__(self, agent: str = "scraper/1.0") -> None:
        self._session = rq.Session()
        self._session.headers["User-Agent"] = agent
        self._session.mount("https://", HTTPAdapter(pool_maxsize=8))

    def text(self, url: str) -> str:
        answer = self._session.get(url, timeout=10)
        answer.raise_for_status()
        return answer.text

    def __enter__(self) -> "HttpSession":
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()


def fetch(url: str) -> str:
    with HttpSession() as session:
        return session.text(url)


def pause(seconds: float) -> None:
    clock.sleep(seconds)
