"""The same two designs as servers: `python serve.py before --port 8000`, and GET /quote."""

import argparse
from types import SimpleNamespace

import after
import before
from aiohttp import web

DESIGNS = {"before": before.handler, "after": after.handler}


def make_app(design):
    """Return an application that serves a design's handler at /quote."""
    handler = DESIGNS[design]

    async def quote(request):
        parcel = {"kilograms": float(request.query.get("kilograms", 2))}
        return web.json_response(await handler(SimpleNamespace(payload=parcel)))

    app = web.Application()
    app.router.add_get("/quote", quote)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("design", choices=DESIGNS)
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    web.run_app(make_app(args.design), host="127.0.0.1", port=args.port, print=None)
