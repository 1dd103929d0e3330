"""Two carriers' clients, as vendors ship them: a method asks over the network and waits.

The network is played by a wait, so that the service can be tried without one.
"""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Carrier:
    """A carrier: how long its server takes to answer, and what it charges."""

    name: str
    latency: float
    """Seconds."""
    base: float
    per_kilogram: float

    def quote(self, parcel):
        """Return an offer for a parcel."""
        time.sleep(self.latency)
        return {"carrier": self.name, "euros": self.base + self.per_kilogram * parcel["kilograms"]}


POST = Carrier("post", latency=0.03, base=4.2, per_kilogram=0.9)
COURIER = Carrier("courier", latency=0.02, base=6.5, per_kilogram=0.4)
