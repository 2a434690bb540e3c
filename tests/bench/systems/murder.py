"""corvus.murder itself: the modules of the built program, called as Ansible calls them."""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
from pathlib import Path

from ..artifacts import Artifact
from ..rig import Rig, Seat
from .base import CHECKOUT, System, tell

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PORT = 8998
RETURNED = ("changed", "elapsed", "bytes_from_seed", "bytes_from_peers", "bytes_reused")


class Murder(System):
    """One tracker and one seeder at the origin, murder_peer at the peers.

    options are further ones of these modules (murder_seed at the origin, murder_peer elsewhere) by the names of seats.
    """

    name = "murder"
    trees = True

    def having(self, seat: str = "", **options: str | int) -> Murder:
        """Return the same with more options of murder_peer, or of the module of one seat only."""
        return Murder(self.program, self.profile, {**self.options, seat: self.options.get(seat, {}) | options})

    def __init__(
        self, program: Path | None = None, profile: Path | None = None, options: dict[str, dict[str, str | int]] | None = None
    ):
        """Measure a program that is not the built one; profile is a directory for the profiles of all daemons; options of
        the modules by the name of the seat, and under no name those of all peers."""
        self.profile = profile
        self.options = dict(options or {})
        machine = platform.machine()
        built = CHECKOUT / f"plugins/programs/murder_linux_{ARCHITECTURES.get(machine, machine)}"
        self.program = program or built

    def missing(self) -> str:
        return "" if os.access(self.program, os.X_OK) else f"{self.program} is not there; run make build"

    def version(self) -> str:
        return tell(self.program, "murder_peer", "--version")

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        origin = rig.origin
        self.track(rig)
        further = self.options.get(origin.name, {})
        self.call(origin, "seed", **self.torrent(rig, artifact), **further, state="started", ip=origin.address)

    def finish(self, rig: Rig, artifact: Artifact) -> None:
        """Stop the daemons where profiles are wanted: one that is killed writes none."""
        if self.profile:
            for seat in rig.peers:
                self.call(seat, "peer", dest=str(seat.dest), state="stopped")
            self.call(rig.origin, "seed", src=str(artifact.path), torrent=str(torrent_file(rig)), state="stopped")
            self.call(rig.origin, "tracker", port=PORT, state="stopped")

    def track(self, rig: Rig) -> None:
        """Start the tracker, which any client may use."""
        address = rig.origin.address
        self.call(rig.origin, "tracker", listen=address, address=address, port=PORT, expect=len(rig.peers))

    def torrent(self, rig: Rig, artifact: Artifact) -> dict[str, str]:
        """Return the options of murder_seed that say which artifact, and where its .torrent comes."""
        return {"src": str(artifact.path), "torrent": str(torrent_file(rig)), "tracker": f"{rig.origin.address}:{PORT}"}

    def call(self, seat: Seat, module: str, **options: str | int) -> dict:
        """Call a module on a seat, and return its result."""
        output = seat.run(self.program, f"murder_{module}", "-", text=json.dumps(self.defaults(seat, module) | options))
        return json.loads(output.splitlines()[-1])

    def defaults(self, seat: Seat, module: str) -> dict[str, str | int]:
        """Return what every call on a seat has in common; each seat has its profiles in a directory of its own."""
        options = {"state_dir": str(seat.directory / "state"), "log_file": str(seat.directory / f"{module}.log")}
        if self.profile:
            place = self.profile / seat.name
            place.mkdir(parents=True, exist_ok=True)
            options["profile"] = str(place)
        return options

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        options = {"torrent": str(torrent_file(rig)), "dest": str(seat.dest), "ip": seat.address, "seed_time": 600}
        options |= self.options.get("", {}) | self.options.get(seat.name, {})
        arguments = seat.directory / "peer.json"
        arguments.write_text(json.dumps(self.defaults(seat, "peer") | options))
        return [self.program, "murder_peer", arguments]

    def figures(self, seat: Seat, output: str) -> dict[str, float]:
        result = json.loads(output.splitlines()[-1])
        figures = {name: result[name] for name in RETURNED}
        stats = status(seat).get("stats", {})
        return figures | {name: stats[name] for name in ("bytes_received_twice", "bytes_damaged") if name in stats}


def torrent_file(rig: Rig) -> Path:
    return rig.origin.directory / "artifact.torrent"


def status(seat: Seat, kind: str = "peer") -> dict:
    """Ask the daemon of a seat (peer or seed) for its status; a peer may have ended already, when all others are complete."""
    for path in (seat.directory / "state").glob(f"{kind}-*/sock"):
        connection = http.client.HTTPConnection("daemon", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(5)
            connection.sock.connect(str(path))
            connection.request("GET", "/status")
            return json.load(connection.getresponse())
        except OSError:
            return {}
        finally:
            connection.close()
    return {}
