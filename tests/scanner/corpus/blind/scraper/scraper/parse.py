import re
from collections.abc import Iterator

from . import http

_LINK = re.compile(r'href="([^"]+)"')


def links(page: str) -> list[str]:
    return _LINK.findall(page)


def pages(urls: list[str]) -> Iterator[str]:
    for url in urls:
        yield http.get(url)


def titles(texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield text.partition("<title>")[2].partition("</title>")[0]


def age(url: str) -> float:
    return float(http.get(url + "/age"))


def robots(host: str) -> list[str]:
    return links(http.get(f"https://{host}/robots.txt"))


def allowed(host: str, path: str) -> bool:
    return path in robots(host)
