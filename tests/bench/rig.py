"""What a race is run on: a fleet of light hosts, a directory in memory and a cgroup for each of them."""

from __future__ import annotations

import contextlib
import ipaddress
import mmap
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fleet import Fleet, Host
from fleet.host import ENVIRONMENT
from fleet.process import wait_until

PREFIX = "murder-bench-"
# Joins the cgroup of its seat, waits for the starting gun, and becomes the program.
GATE = 'echo 0 >"$0/cgroup.procs" && read -r _ && exec "$@"'
GSO = 32768  # bytes
CABLE = Path(__file__).with_name("programs") / "delay"
PAYLOAD = 0.956  # share of an Ethernet link's rate that TCP delivers
SPARE = 2e9  # bytes that the programs themselves and the machine need besides


HANDY = 6 * 10**9  # bytes of memory that are made ready at most for what arrives
LEAD = 256 * 10**6  # bytes of it that are free at a time, less than what a race uses until a host takes back what is free
PROGRAM = 24 * 10**6  # bytes that are made ready besides for each peer, whose programs take that much while they start
TIMES = 6  # times what is needed are made ready where no link limits: what became free last is not what is used first
ENTRY = 8192  # bytes of memory that a file needs besides its content


@dataclass(frozen=True)
class Layout:
    """The links of a rig: so many peers, Mbit/s of each link in each direction; 0 is one pair over loopback, unlimited."""

    peers: int
    rate: float
    slow: float = 0  # Mbit/s of the links of some peers, where they are others
    slows: int = 1  # how many these are
    delay: float = 0  # milliseconds that every round trip between the first peer and the others takes longer
    memory: bool = True  # files are in memory; otherwise below the directory for temporary files

    @property
    def slowed(self) -> list[int]:
        """Return which peers, counted from 0, have slow links: one in the middle, or several at equal distances."""
        return [self.peers * (2 * number + 1) // (2 * self.slows) for number in range(self.slows)] if self.slow else []

    def limit(self, size: int) -> float:
        """Return F/B: the seconds that one link needs for size bytes; 1 without limits, where times are seconds."""
        return size * 8 / (self.rate * 1e6 * PAYLOAD) if self.rate else 1.0

    def needs(self, size: int, files: int) -> int:
        """Return how many bytes of memory to make ready for a race with an artifact of this size."""
        needed = self.peers * (size + files * ENTRY) * (1 if self.rate else TIMES)
        return min(needed, HANDY) + self.programs if self.memory else 0

    @property
    def programs(self) -> int:
        """Return how many bytes of that are for the programs, and free from the start."""
        return self.peers * PROGRAM

    def lacking(self, size: float) -> str:
        """Return what is missing to hold so many bytes of everybody's files, or an empty string."""
        wanted, place = size * 1.1 + SPARE, tempfile.gettempdir()
        free = shutil.disk_usage(place).free
        if self.memory:
            place, free = "memory", int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
        return "" if free > wanted else f"needs {wanted / 1e9:.0f} GB of {place}, there are {free / 1e9:.0f}"


def told(argv: Sequence[str | Path], text: str = "") -> str:
    """Return a command in one line as a shell takes it, with its options where they are not arguments: on stdin, or in files."""
    parts = [shlex.join(map(str, argv))]
    if text:
        parts.append(f"<<< {shlex.quote(text)}")
    files = [arg for arg in argv if isinstance(arg, Path) and arg.suffix == ".json"]
    parts += [f"# {file.name}: {' '.join(file.read_text().split())}" for file in files]
    return " ".join(parts)


@dataclass(frozen=True)
class Seat:
    """One party's place: a host of the fleet, an address, a directory in memory, a cgroup that counts what its processes cost."""

    name: str
    host: Host
    address: str
    directory: Path
    cgroup: Path

    @property
    def dest(self) -> Path:
        """Where the artifact shall be; every system is told to put it exactly there."""
        return self.directory / "dest" / "artifact"

    def popen(self, *argv: str | Path, text: str = "") -> subprocess.Popen[str]:
        """Load argv on this seat; it runs once a line is written to its stdin, text follows it. stderr goes to the file log."""
        with (self.directory / "commands").open("a") as commands:
            commands.write(told(argv, text) + "\n")
        with (self.directory / "log").open("a") as log:
            return self.host.popen(
                *("sh", "-c", GATE, str(self.cgroup), *map(str, argv)),
                env=ENVIRONMENT | {"HOME": str(self.directory)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.directory,
            )

    def run(self, *argv: str | Path, text: str = "", seconds: float = 120) -> str:
        """Run argv on this seat to its end, with text on stdin, and return what it printed."""
        process = self.popen(*argv, text=text)
        try:
            output, _ = process.communicate("\n" + text, timeout=seconds)
        except BaseException:
            process.kill()
            raise
        if process.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, argv))}: exit {process.returncode}\n{output}{self.log()}")
        return output

    def freeze(self, still: bool) -> None:
        """Let all processes of this seat stand still, or go on."""
        (self.cgroup / "cgroup.freeze").write_text(str(int(still)))

    def log(self) -> str:
        """Return the end of what this seat's programs wrote to stderr."""
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """End every process of this seat, and of this seat only, by its cgroup."""
        (self.cgroup / "cgroup.kill").write_text("1")
        # cgroup.procs is empty somewhat earlier than the cgroup can be removed.
        events = self.cgroup / "cgroup.events"
        wait_until(lambda: "populated 0" in events.read_text(), f"the processes of {self.name} to end")

    def clear(self) -> None:
        """End every process and empty the directory."""
        self.end()
        shutil.rmtree(self.directory, ignore_errors=False)
        self.dest.parent.mkdir(parents=True)


@dataclass(frozen=True)
class Rig:
    """The origin (seeder, and tracker where one is needed) and the peers."""

    layout: Layout
    fleet: Fleet
    directory: Path
    cgroup: Path
    origin: Seat
    peers: list[Seat]

    @property
    def seats(self) -> list[Seat]:
        return [self.origin, *self.peers]

    @classmethod
    @contextlib.contextmanager
    def up(cls, layout: Layout) -> Iterator[Rig]:
        """Build a rig for as long as the context lasts. Nothing of it stays, whatever happens inside."""
        with contextlib.ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix=PREFIX))
            stack.callback(directory.rmdir)
            if layout.memory:
                memory = ["mount", "-t", "tmpfs", "-o", "mode=0755,size=90%", "bench", str(directory)]
                subprocess.run(memory, check=True)
                stack.callback(subprocess.run, ["umount", "--lazy", str(directory)], check=True)
            else:
                stack.callback(_empty, directory)
            rate = f"{layout.rate}mbit" if layout.rate else None
            fleet = Fleet.up(layout.peers if rate else 0, rate=rate, firewall=False, light=True)
            stack.callback(fleet.down)
            lighten(fleet)
            for number in layout.slowed:
                _limit(fleet, number + 1, layout.slow)
            if layout.delay:
                stack.enter_context(_long_cable(fleet, 1, layout.delay))
            cgroup = _cgroups() / directory.name
            cgroup.mkdir()
            stack.callback(cgroup.rmdir)
            yield cls._seated(stack, layout, fleet, directory, cgroup)

    @classmethod
    def _seated(cls, stack: contextlib.ExitStack, layout: Layout, fleet: Fleet, directory: Path, cgroup: Path) -> Rig:
        # Without links all seats are on one host, at addresses of its loopback.
        places = [(host, host.address) for host in fleet.hosts]
        if not layout.rate:
            first = ipaddress.ip_address("127.0.0.1")
            places = [(fleet.controller, str(first + number)) for number in range(layout.peers + 1)]
        seats = []
        for number, (host, address) in enumerate(places):
            name = f"peer{number}" if number else "origin"
            seat = Seat(name, host, address, directory / name, cgroup / name)
            seat.cgroup.mkdir()
            stack.callback(seat.cgroup.rmdir)
            # What is in memory goes with the mount, at once; what is on disk goes with the directory.
            stack.callback(seat.end)
            seat.dest.parent.mkdir(parents=True)
            seats.append(seat)
        return cls(layout, fleet, directory, cgroup, seats[0], seats[1:])

    def clear(self) -> None:
        """Make the rig as new: no processes, no files but the artifact, nothing remembered of the links."""
        for seat in self.seats:
            seat.clear()
        for host in self.fleet.hosts:
            subprocess.run([*inside(host.process.pid), "ip", "tcp_metrics", "flush"], check=True, capture_output=True)


class Memory:
    """Memory at hand, for what is used next: size bytes that are touched now, and given back as they are needed.

    A virtual machine may give free memory back to its host after some seconds; using it again then takes several times as long.
    So what is needed later is held until shortly before.
    """

    def __init__(self, size: int):
        self._held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE) if size else None
        self._size, self._given = size, 0

    def give(self, needed: float) -> None:
        """Give back what is held of the first bytes, needed in number, and some more."""
        until = int(min(needed + LEAD, self._size)) // mmap.PAGESIZE * mmap.PAGESIZE
        if until > self._given:
            self._held.madvise(mmap.MADV_DONTNEED, self._given, until - self._given)
            self._given = until

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._held:
            self._held.close()


def inside(pid: int) -> list[str]:
    """Return the command that runs another one in this process's network."""
    return ["nsenter", f"--target={pid}", "--net", "--"]


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def lighten(fleet: Fleet) -> None:
    """Spare the one machine what real hosts and switches do not pay for, and what all links here would share.

    The machine's firewall does not look at what the bridge passes on. Packets stay below the burst of tbf, which cuts
    larger ones into frames one by one: half of all CPU time. And the hosts know each other's Ethernet addresses, for the
    kernel has one small table of those it had to ask for, which 50 hosts together would overflow.
    """
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if switch.exists():
        subprocess.run([*inside(fleet.bridge.pid), "tee", switch], input=b"0\n", stdout=subprocess.DEVNULL, check=True)
    cards = {host.address: f"02:00:{number >> 8:02x}:{number & 255:02x}:00:01" for number, host in enumerate(fleet.hosts)}
    known = [f"neighbour replace {address} lladdr {card} nud permanent dev eth0" for address, card in cards.items()]
    for host in fleet.hosts:
        lines = [f"link set dev eth0 address {cards[host.address]} gso_max_size {GSO}", *known]
        subprocess.run([*inside(host.process.pid), "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def _limit(fleet: Fleet, number: int, rate: float) -> None:
    """Give the link of the host with this number (the controller is 0) another rate, at both ends."""
    for pid, device in ((fleet.bridge.pid, f"h{number}"), (fleet.hosts[number].process.pid, "eth0")):
        limit = f"tc qdisc change dev {device} root tbf rate {rate}mbit burst 64kb latency 10ms".split()
        subprocess.run([*inside(pid), *limit], check=True)


@contextlib.contextmanager
def _long_cable(fleet: Fleet, number: int, delay: float) -> Iterator[None]:
    """Make the round trips of the host with this number (the controller is 0) so many milliseconds longer."""
    here = inside(fleet.bridge.pid)
    links = [f"link set h{number} nomaster", "link add near type veth peer name far"]
    links += ["link set near up", "link set far master bridge up"]
    subprocess.run([*here, "ip", "-batch", "-"], input="\n".join(links), text=True, check=True)
    program = ["setpriv", "--pdeathsig=KILL", *here, CABLE, str(delay / 2), f"h{number}", "near"]
    with subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True) as cable:
        try:
            if cable.stdout.readline() != "ready\n":
                raise RuntimeError(f"the long cable of host {number} was not laid: exit {cable.wait(10)}")
            yield
        finally:
            cable.kill()


def _cgroups() -> Path:
    """Return where cgroups v2 are mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise RuntimeError("The benchmark counts CPU time with cgroups v2, which are not mounted here")
