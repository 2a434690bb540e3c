"""One swarm in a network of its own: a tracker, ours or opentracker, and parties that are our modules or foreign clients."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from artifacts import manifest
from bench.systems.base import await_port
from bench.systems.clients import Client
from bench.systems.foreign import TRACKER, described
from bench.systems.murder import Murder
from fleet import Fleet, Host
from fleet.host import ENVIRONMENT
from fleet.process import wait_until

TRACKERS = ("ours", "opentracker")
PORT = 6969
PATIENCE = 60  # seconds that a download may take; each is over in less than half of that
EMPTY = hashlib.sha256().hexdigest()
# What libtorrent makes of links that BEP 47 cannot say (an empty file), and of one that leads nowhere (it leads to itself).
INSTEAD = {"app/absolute": "", "app/outside": "", "app/dangling": "dangling"}
SHOWN = 3000  # bytes of a log in the message of a failure


@dataclass
class Party:
    """A host of the swarm's network, a directory of its own, and what was started there."""

    host: Host
    directory: Path
    began: list[subprocess.Popen] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def address(self) -> str:
        return self.host.address

    @property
    def dest(self) -> Path:
        return self.directory / "dest"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def run(self, *argv: str | Path, text: str = "") -> str:
        """Run argv on this host to its end, and return what it printed."""
        return self.host.run(*map(str, argv), input=text, env=self._environment(), timeout=2 * PATIENCE).stdout

    def start(self, *argv: str | Path, cwd: Path | None = None) -> None:
        """Start argv on this host, which ends with it. What it prints goes to the file log."""
        with self.log.open("a") as log:
            print("$", shlex.join(map(str, argv)), file=log, flush=True)
            output = {"stdout": log, "stderr": log}
            self.began.append(self.host.popen(*map(str, argv), env=self._environment(), cwd=cwd or self.directory, **output))

    def done(self) -> bool:
        """Tell whether the client that was started here has said done; raises if it has ended instead."""
        ended = [process.returncode for process in self.began if process.poll() is not None]
        if "done" in self.log.read_text(errors="replace").splitlines():
            return True
        if ended:
            raise RuntimeError(f"{self.name}: the client has ended before it was done: exit {ended[0]}")
        return False

    def said(self) -> str:
        """Return the end of each log of this host."""
        logs = {log: log.read_text(errors="replace") for log in sorted(self.directory.glob("*log"))}
        return "\n".join(f"-- {self.name}: {log.name}\n{text[-SHOWN:]}" for log, text in logs.items())

    def _environment(self) -> dict[str, str]:
        return ENVIRONMENT | {"HOME": str(self.directory)}


class Swarm:
    """The origin, which has the artifact and the tracker, and the other parties.

    The artifact is a copy of source: a client may leave files of its own beside what it seeds.
    """

    def __init__(self, fleet: Fleet, directory: Path, source: Path, tracker: str):
        self.fleet, self.tracker = fleet, tracker
        self.origin, *self.others = (Party(host, directory / host.name) for host in fleet.hosts)
        for party in (self.origin, *self.others):
            party.dest.mkdir(parents=True)
        self.source = self.origin.directory / "source" / source.name
        self.torrent = self.origin.directory / f"{source.name}.torrent"
        self.announce = f"http://{self.origin.address}:{PORT}/announce"
        self.source.parent.mkdir()
        subprocess.run(["cp", "--archive", str(source), str(self.source)], check=True)

    @classmethod
    @contextlib.contextmanager
    def up(cls, directory: Path, source: Path, tracker: str, others: int = 1) -> Iterator[Swarm]:
        """Bring up a network for the origin and so many others. Everything in it dies with the context, or with this process."""
        fleet = Fleet.up(others, firewall=False, light=True)
        try:
            swarm = cls(fleet, directory, source, tracker)
            try:
                yield swarm
            except Exception as problem:
                problem.add_note("\n".join(party.said() for party in (swarm.origin, *swarm.others)))
                raise
        finally:
            fleet.down()
            shutil.rmtree(directory)

    def switch_off(self) -> None:
        """End every host at once; whoever waits for one of them fails."""
        for host in self.fleet.hosts:
            host.switch_off()

    # ---- torrent and tracker

    def publish(self) -> dict:
        """Make the torrent with murder_seed, start the tracker, and return what murder_seed said."""
        made = call(self.origin, "seed", **self._seeding(), state="present")
        self.track(made["infohash"])
        return made

    def track(self, infohash: str) -> None:
        """Start the tracker; Debian's opentracker serves only infohashes of its whitelist, and changes root and user."""
        origin = self.origin
        if self.tracker == "ours":
            call(origin, "tracker", listen=origin.address, port=PORT)
            return
        home = origin.directory / "opentracker"
        home.mkdir()
        (home / "whitelist").write_text(infohash + "\n")
        ports = ("-p", str(PORT), "-P", str(PORT))
        origin.start("opentracker", "-i", origin.address, *ports, "-d", str(home), "-w", "whitelist", cwd=home)
        await_port(origin, PORT)

    def _seeding(self) -> dict[str, str]:
        return {"src": str(self.source), "torrent": str(self.torrent), "tracker": self.announce}

    # ---- parties

    def we_seed(self, **options: str | int) -> None:
        call(self.origin, "seed", **self._seeding(), state="started", ip=self.origin.address, **options)

    def we_download(self, party: Party, state: str = "present", **options: str | int) -> dict:
        """Download with murder_peer, and return what it says; state=started only begins."""
        place = {"torrent": str(self.torrent), "dest": str(party.dest / self.source.name), "ip": party.address}
        return call(party, "peer", **place, state=state, timeout=PATIENCE, seed_time=2 * PATIENCE, **options)

    def they_seed(self, client: Client, made: dict) -> None:
        """Seed with a foreign client; returns when the tracker knows it: whoever asked before would ask again only later."""
        origin = self.origin
        if self.tracker == "ours":
            url = self.announce.replace("announce", f"torrents/{made['infohash']}")
            origin.run(TRACKER, "register", url, described(made, self.source.name))
        origin.start(*client.seed(self.torrent, self.source.parent, origin.address, origin.directory))
        origin.run(TRACKER, "await", self.announce.replace("announce", "scrape"), made["infohash"])

    def they_download(self, client: Client, party: Party) -> None:
        """Begin a download with a foreign client; await_done() tells when it is over."""
        party.start(*client.leech(self.torrent, party.dest, party.address, party.directory))

    def await_done(self, *parties: Party) -> None:
        names = ", ".join(party.name for party in parties)
        wait_until(lambda: all([party.done() for party in parties]), f"the foreign clients of {names}", PATIENCE, every=0.1)

    # ---- what has arrived

    def arrived(self, party: Party) -> None:
        """Fail unless our peer has exactly the source: every file by SHA-256, modes, links and directories."""
        assert manifest(party.dest / self.source.name) == manifest(self.source), party.name

    def arrived_at(self, client: Client, party: Party) -> None:
        """Fail unless a foreign client has every file of the source, by SHA-256, and if it makes these links and executables."""
        wanted, there = files(self.source), files(party.dest / self.source.name)
        if client.name == "transmission":  # it does not create empty files
            wanted = without_empty(wanted)
        assert {path: there.get(path) for path in wanted} == wanted, f"{client.name} on {party.name}"
        if client.name == "libtorrent":  # the only one that makes what BEP 47 says of a file
            wanted = {path: INSTEAD.get(path, mark) for path, mark in marks(self.source).items()}
            wanted = {path: mark for path, mark in wanted.items() if mark}
            assert marks(party.dest / self.source.name) == wanted, f"{client.name} on {party.name}"


def files(top: Path) -> dict[str, str]:
    """Return the SHA-256 of every file at or below a path."""
    return {path: entry[-1] for path, entry in manifest(top).items() if entry[0] == "file"}


def marks(top: Path) -> dict[str, str]:
    """Return the target of every link at or below a path, and "x" for every executable file."""
    entries = {path: entry for path, entry in manifest(top).items() if entry[0] != "directory"}
    links = {path: entry[1] for path, entry in entries.items() if entry[0] == "link"}
    return links | {path: "x" for path, entry in entries.items() if entry[0] == "file" and int(entry[1], 8) & 0o100}


def without_empty(files: dict[str, str]) -> dict[str, str]:
    return {path: checksum for path, checksum in files.items() if checksum != EMPTY}


def call(party: Party, module: str, **options: str | int | bool) -> dict:
    """Call one of our modules on a host; it must succeed."""
    return Murder().call(party, module, **options)
