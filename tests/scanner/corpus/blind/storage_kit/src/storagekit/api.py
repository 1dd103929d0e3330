import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storagekit import LocalStorage, S3Storage, storage_for
from storagekit.factory import archive

local = LocalStorage("/srv/documents")
bucket = S3Storage("documents")


async def upload(request: Request) -> Response:
    body = await request.body()
    key = local.put(request.path_params["name"], body)  # expect-via: blocking-file-io
    return JSONResponse({"key": key})


async def upload_well(request: Request) -> Response:
    body = await request.body()
    key = await run_in_threadpool(local.put, request.path_params["name"], body)  # clean: Starlette's thread pool
    return JSONResponse({"key": key})


async def keep(request: Request) -> Response:
    body = await request.body()
    key = bucket.put(request.path_params["name"], body)  # expect-via: blocking-sdk
    return JSONResponse({"key": key, "link": bucket.link(key)})  # clean: signed locally, nothing is sent


async def send_to_archive(request: Request) -> Response:
    name = request.path_params["name"]
    body = await anyio.to_thread.run_sync(local.read, name)  # clean: anyio's thread
    archive().put(name, body)  # expect-via: blocking-sdk
    return Response(status_code=204)


async def usage(request: Request) -> Response:
    return JSONResponse({local.title: local.size})  # expect-via: blocking-file-io


async def title(request: Request) -> Response:
    return JSONResponse({"title": local.title})  # clean: a property that formats a name


async def mount(request: Request) -> Response:
    tenant = storage_for(request.path_params["name"])  # expect-via: blocking-file-io
    return JSONResponse({"root": str(tenant.root)})


async def read(request: Request) -> Response:
    return Response(local.read(request.path_params["name"]))  # expect-via: blocking-file-io


app = Starlette(
    routes=[
        Route("/{name}", upload, methods=["PUT"]),
        Route("/{name}", read),
        Route("/{name}/archive", send_to_archive, methods=["POST"]),
        Route("/usage", usage),
    ]
)
