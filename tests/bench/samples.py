"""An outcome for the tests of what is made of outcomes."""

from __future__ import annotations

from .outcome import Outcome

MB = 1_000_000


def raced(system: str = "murder", **changes) -> Outcome:
    """Return a race of 4 peers, 100 MB, F/B 10 s."""
    values = dict(
        system=system,
        scenario="eleven",
        peers=4,
        rate=83.68,
        size=100 * MB,
        limit=10.0,
        starts=[0.0, 0.0, 0.0, 0.0],
        times=[10.5, 11.0, 10.0, 12.0],
        figures=[{"bytes_received_twice": 1 * MB}, {"bytes_received_twice": 0}, {}, {"bytes_received_twice": 0.5 * MB}],
        cpu={"origin": 0.5, "peers": 1.5, "softirq": 0.25, "machine": 2.4, "others": 1.2},
        memory={"origin": 20 * MB, "peer": 30 * MB},
        sent=[110 * MB, 0, 0, 0, 0],
        received=[0, 101 * MB, 102 * MB, 100 * MB, 101 * MB],
        links=[(0.0, 0, 0), (6.0, 50 * MB, 200 * MB), (12.0, 110 * MB, 404 * MB)],
    )
    return Outcome(**values | changes)
