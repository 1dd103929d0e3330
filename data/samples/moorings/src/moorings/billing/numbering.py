"""Invoice numbers: without gaps within a year, because the tax office looks."""

import re

_NUMBER = re.compile(r"(?P<year>\d{4})-(?P<count>\d{5,})")


def format_number(year: int, count: int) -> str:
    return f"{year}-{count:05d}"


def parse_number(number: str) -> tuple[int, int]:
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise ValueError(f"{number!r} is not an invoice number")
    return int(match["year"]), int(match["count"])
