"""Systems without a swarm: everybody gets it from the origin."""

from __future__ import annotations

from pathlib import Path

from ..artifacts import Artifact
from ..rig import Rig, Seat
from .base import System, await_port, background, tell

PORT = 8730
UDPCAST = ["--interface", "eth0", "--nokbd", "--no-progress", "--mcast-rdv-address", "239.77.0.1"]
DAEMON = """\
use chroot = no
uid = root
gid = root
max connections = 0
[artifact]
path = {directory}
read only = yes
"""


class Rsync(System):
    """One rsync daemon at the origin, and every peer takes everything from it."""

    name = "rsync"
    trees = True
    needs, package = ("rsync",), "rsync"

    def version(self) -> str:
        return tell("rsync", "--version")

    def unfit(self, rig: Rig) -> str:
        return "takes N times F/B by construction, hours here" if len(rig.peers) > 20 else ""

    def patience(self, rig: Rig) -> float:
        return len(rig.peers) + super().patience(rig)

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        configuration = rig.origin.directory / "rsyncd.conf"
        configuration.write_text(DAEMON.format(directory=artifact.path.parent))
        address = f"--address={rig.origin.address}"
        background(rig.origin, "rsync", "--daemon", "--no-detach", f"--port={PORT}", address, f"--config={configuration}")
        await_port(rig.origin, PORT)

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        source = f"rsync://{rig.origin.address}:{PORT}/artifact/{artifact.path.name}"
        if artifact.files > 1:
            return ["rsync", "--recursive", "--times", "--whole-file", "--inplace", f"{source}/", seat.dest]
        return ["rsync", "--whole-file", "--inplace", source, seat.dest]


class Udpcast(System):
    """One sender, multicast; a little below the links' rate, for what does not fit is lost. It verifies nothing."""

    name = "udpcast"
    needs, package = ("udp-sender", "udp-receiver"), "udpcast"

    def version(self) -> str:
        return tell("dpkg-query", "--show", "udpcast").replace("\t", " ")

    def unfit(self, rig: Rig) -> str:
        return "" if rig.layout.rate else "multicast needs a network"

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        for seat in rig.seats:
            seat.host.run("ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")
        slowest = min(rate for rate in (rig.layout.rate, rig.layout.slow) if rate)
        limits = ["--max-bitrate", f"{slowest * 930:.0f}k", "--min-receivers", str(len(rig.peers))]
        background(rig.origin, "udp-sender", *UDPCAST, *limits, "--file", artifact.path)

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        return ["udp-receiver", *UDPCAST, "--nosync", "--file", seat.dest]
