"""What the rig must know of a system that it measures."""

from __future__ import annotations

import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from fleet.process import wait_until

from ..artifacts import Artifact
from ..rig import Rig, Seat

CHECKOUT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
DONE = "done"  # the line by which a program that goes on running says that the artifact is there


class System(ABC):
    """A way to bring one file, and maybe a directory, from the origin to every peer.

    A peer's program has the artifact at seat.dest when it ends with exit code 0, or prints the line done.
    """

    name: str
    needs: Sequence[str] = ()  # commands
    package: str = ""  # Debian's, that has them
    trees = False  # whether it takes directories

    def missing(self) -> str:
        """Return why this system cannot run here, or an empty string."""
        absent = [command for command in self.needs if not shutil.which(command)]
        return f"{', '.join(absent)} is not installed (Debian: {self.package})" if absent else ""

    @abstractmethod
    def version(self) -> str:
        """Return name and version as the system tells them."""

    def unfit(self, rig: Rig) -> str:
        """Return why this system is not run on this rig, or an empty string."""
        return ""

    def patience(self, rig: Rig) -> float:
        """Return after how many times F/B it is given up."""
        return 8.0

    @abstractmethod
    def serve(self, rig: Rig, artifact: Artifact) -> None:
        """Bring up everything that must be there before the first peer starts; returns when it is ready."""

    @abstractmethod
    def fetch(self, rig: Rig, artifact: Artifact, seat: Seat) -> list[str | Path]:
        """Return the command that gets the artifact to this peer."""

    def finish(self, rig: Rig, artifact: Artifact) -> None:
        """End in order what a race has started, where that matters; what still runs after it is killed."""
        return

    def figures(self, seat: Seat, output: str) -> dict[str, float]:
        """Return what the system itself tells of a peer that has just completed; output is what its command printed."""
        return {}


def tell(*argv: str | Path) -> str:
    """Return the first line that a command prints, for versions."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")


def await_port(seat: Seat, port: int) -> None:
    """Return once somebody listens on this TCP port of the seat's host."""
    table = Path(f"/proc/{seat.host.process.pid}/net/tcp")

    def listening() -> bool:
        rows = (row.split() for row in table.read_text().splitlines()[1:])
        return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)

    wait_until(listening, f"a server on port {port} of {seat.name}")


def background(seat: Seat, *argv: str | Path, ready: str = "") -> None:
    """Start argv on a seat and leave it running; returns when it has printed a line that begins with ready."""
    process = seat.popen(*argv)
    process.stdin.write("\n")
    process.stdin.close()
    if ready:
        for line in process.stdout:
            if line.startswith(ready):
                break
        else:
            raise RuntimeError(f"{seat.name}: {' '.join(map(str, argv))} ended: exit {process.wait()}\n{seat.log()}")
    # Somebody must go on reading, or the program stops at a full pipe.
    threading.Thread(target=process.stdout.read, daemon=True).start()
