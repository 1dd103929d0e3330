"""Commands of the operator."""

import asyncio

import click

from adapters import _get


@click.group()
def cli() -> None:
    pass


@cli.command()
@click.argument("number")
def show(number: str) -> None:
    click.echo(asyncio.run(_get(f"/customers/{number}")))  # clean: the entry point of a command


async def _export() -> None:
    print(await _get("/customers"))


@cli.command()
def export() -> None:
    asyncio.run(_export())  # clean: the entry point of a command


if __name__ == "__main__":
    cli()
