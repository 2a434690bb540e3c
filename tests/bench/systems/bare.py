"""What the machine can do at the most: the bare work on the bytes, without anything that makes it a system."""

from __future__ import annotations

from pathlib import Path

from ..artifacts import Artifact
from ..rig import Rig, Seat
from .base import CHECKOUT, System, background

PROGRAM = CHECKOUT / "build" / "bench" / "bare"
PORT = 8731


class Bare(System):
    """Sending, receiving, SHA-1 of each piece and writing, on all cores. No rival: it can do nothing but this."""

    name = "bare work"
    trees = True

    def missing(self) -> str:
        return "" if PROGRAM.exists() else f"{PROGRAM} is not there; run tests/bench/ready"

    def version(self) -> str:
        return "tests/bench/programs/bare.go"

    def unfit(self, rig: Rig) -> str:
        return "" if len(rig.peers) == 1 else "it knows one peer"

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        background(rig.origin, PROGRAM, "serve", f"{rig.origin.address}:{PORT}", artifact.path, ready="ready")

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        return [PROGRAM, "fetch", f"{rig.origin.address}:{PORT}", seat.dest]
