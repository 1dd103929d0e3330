import click
from rich.prompt import Confirm, Prompt


async def choose(services: list[str]) -> str:
    return Prompt.ask("service", choices=services)  # expect: blocking-input


def sure(what: str) -> bool:
    return Confirm.ask(f"really {what}?")


async def remove(service: str) -> bool:
    return sure(f"remove {service}")  # expect-via: blocking-input


async def port() -> int:
    return click.prompt("port", type=int)  # expect: blocking-input


async def show(service: str) -> None:
    click.echo(f"service {service}")  # clean: one line on the terminal
    print(service)  # clean: one line on the terminal
