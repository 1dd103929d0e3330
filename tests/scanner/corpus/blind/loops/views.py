import asyncio

from quart import Quart

from adapters import CrmAdapter, _get

app = Quart(__name__)
crm = CrmAdapter()


@app.get("/customers/<number>")
async def customer(number: str) -> object:
    return crm.customer(number)  # expect-via: nested-loop


@app.get("/orders/<number>")
async def orders(number: str) -> object:
    return asyncio.run(_get(f"/orders/{number}"))  # expect: nested-loop


@app.get("/invoices/<number>")
async def invoices(number: str) -> object:
    loop = asyncio.get_event_loop()  # clean: a loop is running here
    return loop.run_until_complete(_get(f"/invoices/{number}"))  # expect: nested-loop


@app.get("/status/<number>")
async def status(number: str) -> object:
    return await _get(f"/status/{number}")  # clean: awaited


def summary(number: str) -> object:
    return crm.customer(number)


@app.get("/summary/<number>")
async def summary_view(number: str) -> object:
    return {"summary": summary(number)}  # expect-via: nested-loop
