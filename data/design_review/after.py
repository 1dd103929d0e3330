"""What it costs to send a parcel: the carriers' clients wait on threads, side by side."""

import asyncio

from carriers import COURIER, POST


async def handler(request):
    """Answer with the cheaper offer for the parcel of a request."""
    parcel = request.payload or {"kilograms": 2}
    return await cheaper(parcel)


async def cheaper(parcel):
    """Ask both carriers, and return the better offer."""
    offers = await asyncio.gather(
        asyncio.to_thread(POST.quote, parcel), asyncio.to_thread(COURIER.quote, parcel)
    )
    return min(offers, key=lambda offer: offer["euros"])
