"""One race: a system brings the artifact to all peers of a rig, and everything about it is measured."""

from __future__ import annotations

import math
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .artifacts import Artifact
from .meter import Meter, Sample
from .outcome import Outcome
from .rig import Memory, Rig, Seat
from .systems.base import CHECKOUT, DONE, System

Prepare = Callable[[System, Rig, Artifact], None]  # puts something at the peers, who have not begun

CRAWL = 20e6  # bytes a second, which everybody exceeds where no link limits


class RaceError(RuntimeError):
    """A system did not bring the artifact to every peer."""


@dataclass(frozen=True)
class Stall:
    """A peer stands still for a while: its processes get no time."""

    peer: int  # counted from 0
    at: float  # seconds from the start
    seconds: float

    @staticmethod
    def spread(peers: int, number: int, seconds: float, limit: float) -> list[Stall]:
        """Return so many, of peers at equal distances, one after the other from a tenth to seven tenths of the race."""
        return [Stall(peers * (2 * n + 1) // (2 * number), limit * (0.1 + 0.6 * n / number), seconds) for n in range(number)]


@dataclass
class Runner:
    """A peer's program, from the starting gun to the finish."""

    seat: Seat
    process: subprocess.Popen[str]
    printed: bytes = b""
    started: float = 0.0
    finished: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.close()
        self.started = time.monotonic()

    def listen(self) -> bool:
        """Read what the program prints, and tell whether it has reached the finish with that."""
        chunk = os.read(self.process.stdout.fileno(), 1 << 16)
        now = time.monotonic()
        self.printed += chunk
        if chunk and f"{DONE}\n".encode() not in self.printed[-len(chunk) - len(DONE) - 1 :].splitlines(keepends=True):
            return False
        if not chunk and (code := self.process.wait(10)):
            raise RaceError(f"{self.seat.name} failed: exit {code}\n{self.output[-2000:]}{self.seat.log()}")
        self.finished = now
        return True

    @property
    def output(self) -> str:
        return self.printed.decode(errors="replace")


def race(
    rig: Rig,
    system: System,
    artifact: Artifact,
    scenario: str,
    stagger: float = 0,
    prepare: Prepare | None = None,
    samples: list[Sample] | None = None,
    stalls: Sequence[Stall] = (),
) -> Outcome:
    """Let the system run once. stagger is the seconds over which the peers start; prepare is called when the origin is ready.

    samples gets what the meters of the links said.

    A race that fails has its error in the outcome. The rig is cleared at the beginning and left as it is in the end.
    """
    layout = rig.layout
    starts = [stagger * number / max(layout.peers - 1, 1) for number in range(layout.peers)]
    outcome = Outcome(system.name, scenario, layout.peers, layout.rate, artifact.size, layout.limit(artifact.size))
    outcome.files, outcome.slowed, outcome.starts = artifact.files, layout.slowed, starts
    rig.clear()
    try:
        began = time.monotonic()
        system.serve(rig, artifact)
        outcome.served = round(time.monotonic() - began, 3)
        if prepare:
            prepare(system, rig, artifact)
        runners = [Runner(seat, seat.popen(*system.fetch(rig, artifact, seat))) for seat in rig.peers]
        with Memory(layout.needs(artifact.size, artifact.files)) as memory, Meter(rig, memory) as meter:
            if prepare:
                memory.give(math.inf)  # what a host has already fills memory without coming over a link
            before = meter.cost()
            _run(system, runners, starts, _patience(rig, system, artifact), meter, stalls)
            outcome.cpu = meter.cost().since(before)
            meter.weigh(*rig.seats)
        if samples is not None:
            samples += meter.samples
        _account(outcome, runners, meter)
        system.finish(rig, artifact)
        outcome.commands = _commands(rig)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            whole = pool.map(lambda seat: artifact.same(seat.dest), rig.peers)
            wrong = [seat.name for seat, good in zip(rig.peers, whole) if not good]
        if wrong:
            raise RaceError(f"the artifact of {', '.join(wrong)} is not what the origin has")
    except (RaceError, RuntimeError, OSError, subprocess.SubprocessError) as problem:
        outcome.error = pathless(str(problem), rig.directory)
    return outcome


def _patience(rig: Rig, system: System, artifact: Artifact) -> float:
    """Return the seconds after which a race is given up."""
    layout = rig.layout
    if not layout.rate:
        return 60.0 + artifact.size / CRAWL
    slowest = layout.rate / layout.slow if layout.slow else 1.0
    return max(system.patience(rig) * slowest * layout.limit(artifact.size), 60.0)


def _run(
    system: System, runners: list[Runner], starts: list[float], patience: float, meter: Meter, stalls: Sequence[Stall] = ()
) -> None:
    """Start everyone at its time, let some stand still, and wait for everyone to finish."""
    began = time.monotonic()
    events = [(at, runner.start) for at, runner in zip(starts, runners)]
    for stall in stalls:
        seat = runners[stall.peer].seat
        events += [(stall.at, partial(seat.freeze, True)), (stall.at + stall.seconds, partial(seat.freeze, False))]
    events.sort(key=lambda event: event[0])
    try:
        with selectors.DefaultSelector() as selector:
            for runner in runners:
                selector.register(runner.process.stdout, selectors.EVENT_READ, runner)
            while selector.get_map():
                now = time.monotonic() - began
                if now > patience + max(starts):
                    late = [runner.seat for runner in runners if not runner.finished]
                    raise RaceError(f"{len(late)} of {len(runners)} peers have nothing whole after {now:.0f} s\n{late[0].log()}")
                while events and events[0][0] <= now:
                    events.pop(0)[1]()
                pause = events[0][0] - now if events else 1.0
                for key, _ in selector.select(min(pause, 1.0)):
                    _hear(system, selector, key.data, meter)
    finally:
        for stall in stalls:
            runners[stall.peer].seat.freeze(False)


def _hear(system: System, selector: selectors.BaseSelector, runner: Runner, meter: Meter) -> None:
    """Take what a program has printed, and its figures when it has finished with that."""
    if runner.listen():
        selector.unregister(runner.process.stdout)
        # Now, for some end as soon as everybody is complete.
        meter.weigh(runner.seat)
        runner.figures = system.figures(runner.seat, runner.output)


def _commands(rig: Rig) -> list[str]:
    """Return what was run at the origin and at the first peer, without the paths of this machine."""
    lines = [f"{seat.name}: {line}" for seat in rig.seats[:2] for line in (seat.directory / "commands").read_text().splitlines()]
    return [pathless(line, rig.directory) for line in lines]


def pathless(text: str, directory: Path) -> str:
    """Return a text that results keep without the paths of this machine: of the rig, the checkout and Python."""
    for path in (directory, Path(sys.executable).parent, CHECKOUT):  # Python may be in the checkout
        text = text.replace(f"{path}/", "").replace(str(path), ".")
    return text


def _account(outcome: Outcome, runners: list[Runner], meter: Meter) -> None:
    """Put times, bytes and memory into the outcome, times counted from the first start."""
    samples: list[Sample] = meter.samples
    peaks = list(meter.peaks.values())
    outcome.memory = {"origin": peaks[0], "peer": max(peaks[1:])}
    zero = min(runner.started for runner in runners)
    first, last = samples[0], samples[-1]
    outcome.starts = [round(runner.started - zero, 3) for runner in runners]
    outcome.times = [round(runner.finished - zero, 3) for runner in runners]
    outcome.figures = [runner.figures for runner in runners]
    outcome.sent = [after - before for before, after in zip(first.sent, last.sent)]
    outcome.received = [after - before for before, after in zip(first.received, last.received)]
    for sample in samples:
        sent, received = sample.sent[0] - first.sent[0], sum(sample.received[1:]) - sum(first.received[1:])
        outcome.links.append((round(sample.at - zero, 3), sent, received))
