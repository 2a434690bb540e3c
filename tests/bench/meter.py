"""Reads what a race costs while it runs: bytes on the links, CPU time, memory."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .rig import Memory, Rig, Seat

EVERY = 0.25  # seconds between two samples of the links
WEIGHED = 25  # seats whose memory is read with each sample of the links; larger rigs are read less often
PAIR = 2  # seats, whose memory is read more often, for without others to wait for they may be done and gone in a moment
LOOKS = 10  # so many times as often
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU seconds up to now: of the origin's and the peers' processes, in softirqs, and of the whole machine.

    Softirqs count for the process they interrupt, too. others is what programs that have nothing to do with the race
    computed in user mode: noise, if it is not small. (Of the kernel's time nobody can say whose it was.)
    """

    origin: float
    peers: float
    softirq: float
    machine: float
    others: float

    def since(self, before: Cost) -> dict[str, float]:
        """Return what was used since before."""
        used = {item.name: getattr(self, item.name) - getattr(before, item.name) for item in dataclasses.fields(self)}
        return {name: round(max(seconds, 0.0), 3) for name, seconds in used.items()}


@dataclass(frozen=True)
class Sample:
    """Bytes that passed each seat's link until this moment (seconds of the monotonic clock), the origin's first."""

    at: float
    sent: list[int]
    received: list[int]


class Meter:
    """Samples the links in the background between enter and exit, and gives back memory as fast as they may fill it."""

    def __init__(self, rig: Rig, memory: Memory):
        self._rig, self._memory = rig, memory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.samples: list[Sample] = []
        self.peaks = dict.fromkeys((seat.name for seat in rig.seats), 0)

    def __enter__(self) -> Meter:
        self._give(0)
        self.samples.append(self.links())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.samples.append(self.links())

    def _watch(self) -> None:
        few = len(self._rig.seats) <= PAIR
        while not self._stop.wait(EVERY if not few else EVERY / LOOKS):
            if few:
                self.weigh(*self._rig.seats)
                if time.monotonic() - self.samples[-1].at < EVERY:
                    continue
            self.samples.append(self.links())
            self._give(sum(self.samples[-1].received[1:]) - sum(self.samples[0].received[1:]))
            if len(self.samples) % (len(self._rig.seats) // WEIGHED + 1) == 0:
                self.weigh(*self._rig.seats)

    def _give(self, arrived: int) -> None:
        layout = self._rig.layout
        self._memory.give(layout.programs + arrived if layout.rate else math.inf)

    def links(self) -> Sample:
        """Read the counters of the bridge's ends of all cables, where sent and received swap."""
        counters = {}
        for line in Path(f"/proc/{self._rig.fleet.bridge.pid}/net/dev").read_text().splitlines()[2:]:
            device, _, numbers = line.partition(":")
            fields = numbers.split()
            counters[device.strip()] = (int(fields[0]), int(fields[8]))
        ends = [counters[f"h{number}"] for number in range(len(self._rig.fleet.hosts))]
        return Sample(time.monotonic(), [end[0] for end in ends], [end[1] for end in ends])

    def weigh(self, *seats: Seat) -> None:
        """Note how many bytes of memory one process of each of these seats has held at most until now (VmHWM)."""
        for seat in seats:
            for pid in (seat.cgroup / "cgroup.procs").read_text().split():
                # One that ends meanwhile has no memory any more.
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    kilobytes = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
                    if kilobytes:
                        self.peaks[seat.name] = max(self.peaks[seat.name], int(kilobytes[1]) * 1024)

    def cost(self) -> Cost:
        """Read what has been used until now."""
        origin = _cpu(self._rig.origin.cgroup, "usage_usec")
        everyone = {key: _cpu(self._rig.cgroup, key) for key in ("usage_usec", "user_usec")}
        fields = [int(field) / TICK for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
        return Cost(
            origin=origin,
            peers=everyone["usage_usec"] - origin,
            softirq=irq + softirq,
            machine=user + nice + system + irq + softirq,
            others=user + nice - everyone["user_usec"] - os.times().user,
        )


def _cpu(cgroup: Path, key: str) -> float:
    lines = (cgroup / "cpu.stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key} ")).split()[1]) / 1e6
