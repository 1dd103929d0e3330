"""What it costs to send a parcel, as it passed review."""

from carriers import COURIER, POST


async def handler(request):
    """Answer with the cheaper offer for the parcel of a request."""
    parcel = request.payload or {"kilograms": 2}
    return cheaper(parcel)


def cheaper(parcel):
    """Ask both carriers, and return the better offer."""
    offers = POST.quote(parcel), COURIER.quote(parcel)
    return min(offers, key=lambda offer: offer["euros"])
