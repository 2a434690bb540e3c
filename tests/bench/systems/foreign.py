"""BitTorrent programs of others: a seeder and N peers of that program, at our tracker, with our .torrent."""

from __future__ import annotations

import json
from pathlib import Path

from ..artifacts import Artifact
from ..rig import Rig, Seat
from .base import PROGRAMS, System, background
from .clients import Client
from .murder import PORT, Murder, torrent_file

TRACKER = PROGRAMS / "tracker"


class Foreign(System):
    """One of these programs as a system."""

    def __init__(self, client: Client, murder: Murder):
        self.name, self._client, self._murder = client.name, client, murder

    def missing(self) -> str:
        return self._client.missing() or self._murder.missing()

    def version(self) -> str:
        return self._client.version()

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        murder, origin = self._murder, rig.origin
        murder.track(rig)
        made = murder.call(origin, "seed", **murder.torrent(rig, artifact), state="present")
        tracker = f"http://{origin.address}:{PORT}"
        origin.run(TRACKER, "register", f"{tracker}/torrents/{made['infohash']}", described(made, artifact.path.name))
        background(origin, *self._client.seed(torrent_file(rig), artifact.path.parent, origin.address, origin.directory))
        origin.run(TRACKER, "await", f"{tracker}/scrape", made["infohash"])

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        return self._client.leech(torrent_file(rig), seat.dest.parent, seat.address, seat.directory)


def described(made: dict, name: str) -> str:
    """Return what our tracker is told of a torrent that murder_seed has made, as JSON."""
    return json.dumps({"name": name, "size": made["size"], "piece_length": made["piece_size"], "pieces": made["pieces"]})
