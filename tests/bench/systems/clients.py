"""BitTorrent programs of others: how each is told to seed or to download one torrent. The tests in tests/interop use them too."""

from __future__ import annotations

import json
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from .base import PROGRAMS, tell

LISTEN = 10000
SAY_DONE = PROGRAMS / "say-done"

Command = list[str | Path]


class Client(ABC):
    """A program that prints the line done once it has what it was to download, and then seeds until it is ended."""

    name: str
    needs: Sequence[str] = ()  # commands
    package: str = ""  # Debian's, that has them

    def missing(self) -> str:
        """Return why this client cannot run here, or an empty string."""
        absent = [command for command in self.needs if not shutil.which(command)]
        return f"{', '.join(absent)} is not installed (Debian: {self.package})" if absent else ""

    @abstractmethod
    def version(self) -> str:
        """Return name and version as the program tells them."""

    @abstractmethod
    def seed(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        """Return the command that seeds, from this address, what is in this directory; in home it may keep files of its own."""

    @abstractmethod
    def leech(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        """Return the command that downloads into this directory and then seeds."""


class Libtorrent(Client):
    """Debian's python3-libtorrent, TCP only, 50 upload slots."""

    name, package = "libtorrent", "python3-libtorrent"
    program = PROGRAMS / "libtorrent-client"

    def missing(self) -> str:
        probe = subprocess.run(["/usr/bin/python3", "-c", "import libtorrent"], capture_output=True, check=False)
        return f"libtorrent is not installed (Debian: {self.package})" if probe.returncode else ""

    def version(self) -> str:
        return "libtorrent " + tell("/usr/bin/python3", "-c", "import libtorrent; print(libtorrent.__version__)")

    def seed(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [*self.leech(torrent, directory, address, home), "seed"]

    def leech(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [self.program, torrent, directory, address, str(LISTEN)]


class Aria2(Client):
    """aria2c, without limits of peers, hashing or start-up pauses."""

    name = "aria2c"
    needs, package = ("aria2c",), "aria2"

    def version(self) -> str:
        return tell("aria2c", "--version")

    def seed(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [*self._command(directory, address), "--bt-seed-unverified=true", torrent]

    def leech(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [*self._command(directory, address), f"--on-bt-download-complete={SAY_DONE}", torrent]

    @staticmethod
    def _command(directory: Path, address: str) -> Command:
        switches = "--quiet --enable-dht=false --bt-enable-lpd=false --file-allocation=none --allow-overwrite=true --no-conf"
        limits = "--bt-max-peers=0 --bt-request-peer-speed-limit=1000M --seed-ratio=0.0 --seed-time=60"
        ours = [f"--dir={directory}", f"--interface={address}", f"--listen-port={LISTEN}"]
        return ["aria2c", *switches.split(), *limits.split(), *ours]


class Transmission(Client):
    """transmission-cli, TCP only, without limits of peers and slots; encryption: 0 avoids it, 1 (its default) prefers it."""

    name = "transmission"
    needs, package = ("transmission-cli",), "transmission-cli"

    def __init__(self, encryption: int = 0):
        self._encryption = encryption

    def version(self) -> str:
        return tell("transmission-cli", "--version")

    def seed(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [*self._command(directory, address, home), "--verify", torrent]

    def leech(self, torrent: Path, directory: Path, address: str, home: Path) -> Command:
        return [*self._command(directory, address, home), f"--finish={SAY_DONE}", torrent]

    def _command(self, directory: Path, address: str, home: Path) -> Command:
        settings = home / "transmission"
        settings.mkdir(exist_ok=True)
        switches = dict.fromkeys(("dht-enabled", "lpd-enabled", "utp-enabled", "port-forwarding-enabled"), False)
        limits = {"peer-limit-global": 500, "peer-limit-per-torrent": 200, "upload-slots-per-torrent": 50}
        others = {"encryption": self._encryption, "bind-address-ipv4": address, "preallocation": 0}
        (settings / "settings.json").write_text(json.dumps(switches | limits | others))
        return [
            "transmission-cli",
            "--no-uplimit",
            "--no-downlimit",
            f"--config-dir={settings}",
            f"--download-dir={directory}",
            f"--port={LISTEN}",
        ]
