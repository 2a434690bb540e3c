"""BitTorrent programs of others: a seeder and N peers of that program, at our tracker, with our .torrent."""

from __future__ import annotations

import json
import subprocess
from abc import abstractmethod
from pathlib import Path

from ..rig import Artifact, Rig, Seat
from .base import PROGRAMS, System, background, tell
from .murder import PORT, Murder, torrent_file

LISTEN = 10000
LISTEN_ARIA2 = f"--listen-port={LISTEN}"
SAY_DONE = PROGRAMS / "say-done"
TRACKER = PROGRAMS / "tracker"


class Client(System):
    """What all of them have in common."""

    def __init__(self, murder: Murder):
        self._murder = murder

    def missing(self) -> str:
        return super().missing() or self._murder.missing()

    def serve(self, rig: Rig, artifact: Artifact) -> None:
        murder, origin = self._murder, rig.origin
        murder.track(rig)
        made = murder.call(origin, "seed", **murder.torrent(rig, artifact), state="present")
        about = {"name": artifact.path.name, "size": made["size"], "piece_length": made["piece_size"], "pieces": made["pieces"]}
        tracker = f"http://{origin.address}:{PORT}"
        origin.run(TRACKER, "register", f"{tracker}/torrents/{made['infohash']}", json.dumps(about))
        background(origin, *self.seed(torrent_file(rig), artifact.path.parent, origin))
        origin.run(TRACKER, "await", f"{tracker}/status.json")

    @abstractmethod
    def seed(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        """Return the command that seeds the artifact, which is in this directory."""

    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        return self.leech(torrent_file(rig), seat.dest.parent, seat)

    @abstractmethod
    def leech(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        """Return the command that downloads the artifact into this directory and then seeds."""


class Libtorrent(Client):
    """Debian's python3-libtorrent, TCP only, 50 upload slots."""

    name = "libtorrent"
    program = PROGRAMS / "libtorrent-client"

    def missing(self) -> str:
        probe = subprocess.run(["/usr/bin/python3", "-c", "import libtorrent"], capture_output=True, check=False)
        return "libtorrent is not installed (Debian: python3-libtorrent)" if probe.returncode else super().missing()

    def version(self) -> str:
        return "libtorrent " + tell("/usr/bin/python3", "-c", "import libtorrent; print(libtorrent.__version__)")

    def seed(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [*self.leech(torrent, directory, seat), "seed"]

    def leech(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [self.program, torrent, directory, seat.address, str(LISTEN)]


class Aria2(Client):
    """aria2c, without limits of peers, hashing or start-up pauses."""

    name = "aria2c"
    needs, package = ("aria2c",), "aria2"

    def version(self) -> str:
        return tell("aria2c", "--version")

    def seed(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [*self._command(directory, seat), "--bt-seed-unverified=true", torrent]

    def leech(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [*self._command(directory, seat), f"--on-bt-download-complete={SAY_DONE}", torrent]

    @staticmethod
    def _command(directory: Path, seat: Seat) -> list[str | Path]:
        switches = "--quiet --enable-dht=false --bt-enable-lpd=false --file-allocation=none --allow-overwrite=true --no-conf"
        limits = "--bt-max-peers=0 --bt-request-peer-speed-limit=1000M --seed-ratio=0.0 --seed-time=60"
        return ["aria2c", *switches.split(), *limits.split(), f"--dir={directory}", f"--interface={seat.address}", LISTEN_ARIA2]


class Transmission(Client):
    """transmission-cli, TCP only, without limits of peers and upload slots."""

    name = "transmission"
    needs, package = ("transmission-cli",), "transmission-cli"

    def version(self) -> str:
        return tell("transmission-cli", "--version")

    def seed(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [*self._command(directory, seat), "--verify", torrent]

    def leech(self, torrent: Path, directory: Path, seat: Seat) -> list[str | Path]:
        return [*self._command(directory, seat), f"--finish={SAY_DONE}", torrent]

    @staticmethod
    def _command(directory: Path, seat: Seat) -> list[str | Path]:
        settings = seat.directory / "transmission"
        settings.mkdir(exist_ok=True)
        switches = dict.fromkeys(("dht-enabled", "lpd-enabled", "utp-enabled", "port-forwarding-enabled"), False)
        limits = {"peer-limit-global": 500, "peer-limit-per-torrent": 200, "upload-slots-per-torrent": 50, "encryption": 0}
        text = json.dumps({**switches, **limits, "bind-address-ipv4": seat.address, "preallocation": 0})
        (settings / "settings.json").write_text(text)
        return [
            "transmission-cli",
            "--no-uplimit",
            "--no-downlimit",
            f"--config-dir={settings}",
            f"--download-dir={directory}",
            f"--port={LISTEN}",
        ]
