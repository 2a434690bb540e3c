"""The practical floor: every host passes each verified piece on to one other host."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from ..artifacts import Artifact
from ..rig import Rig, Seat
from .base import PROGRAMS, System, background

RELAY = PROGRAMS / "relay"
# Without what Python loads from site-packages: the chain is the floor, its start must cost little.
COMMAND = [sys.executable, "-I", "-S", RELAY]
PORT = 10000


class Chain(System):
    """A plain relay chain in the order of the peers, with SHA-1 of every piece on the way. It survives nothing."""

    name = "chain"

    def version(self) -> str:
        return f"tests/bench/programs/relay, Python {platform.python_version()}"

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        background(rig.origin, *COMMAND, rig.origin.address, str(PORT), artifact.path, ready="ready")

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        before = rig.seats[rig.seats.index(seat) - 1]
        return [*COMMAND, seat.address, str(PORT), seat.dest, f"--from={before.address}"]
