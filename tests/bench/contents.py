"""Scenarios of what is in the artifact and of what a host has already: many files, nothing new, little that is new, 20 GB."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .artifacts import OLD, Artifact, File, Tree
from .outcome import Outcome
from .race import Prepare, race
from .rig import Layout, Rig
from .systems import System
from .systems.murder import Murder

KB, MB, GB = 1000, 1_000_000, 1_000_000_000
PAGE = 4096  # bytes, in which memory and disks hold the content of files
INODE = 3000  # bytes that a file in memory needs besides, in the kernel and in the daemons


def other(_system: System, rig: Rig, artifact: Artifact) -> None:
    """Give every peer an older file of the same size in which nothing is the same."""
    for seat in rig.peers:
        File.make(seat.dest, artifact.size)
        os.utime(seat.dest, (OLD, OLD))


def older(_system: System, rig: Rig, artifact: Artifact, places: int = 1) -> None:
    """Give every peer the version before, in which one byte of a hundred differs; in a file they are in so many places."""
    for seat in rig.peers:
        artifact.older(seat.dest, places)


def known(system: System, rig: Rig, artifact: Artifact) -> None:
    """Give every peer the artifact and let it find so. All have the same inodes, by hard links: many hosts fit one machine."""
    for seat in rig.peers:
        subprocess.run(["cp", "-al", artifact.path, seat.dest], check=True)
    for seat in rig.peers:
        result = json.loads(seat.run(*system.fetch(rig, artifact, seat)).splitlines()[-1])
        if result["changed"]:
            raise RuntimeError(f"{seat.name} has not taken the linked artifact for its own")


@dataclass(frozen=True)
class Case:
    """So many files of that many bytes, and what the peers have at first."""

    files: int
    length: int
    note: str = ""
    prepare: Prepare | None = None
    options: Mapping[str, str] = field(default_factory=dict)  # of murder_peer
    copies: int = 0  # that there are at most at the same time; 0: one for the origin and one for each peer
    dated: bool = True  # the files that changed last can be told by their time
    stagger: float = 0  # seconds over which the peers start
    judged: bool = True  # the scenario's target is for it
    system: str = "murder"

    @property
    def name(self) -> str:
        amount = f"{self.files:,} files of {told(self.length)}" if self.files > 1 else f"one file of {told(self.length)}"
        system = "" if self.system == "murder" else self.system
        return ", ".join(part for part in (amount, self.note, system) if part)

    def make(self, path: Path) -> Artifact:
        """Write the artifact."""
        if self.files == 1:
            return File.make(path, self.length)
        return Tree.make(path, self.files, self.length, self.dated)

    def held(self, peers: int) -> int:
        """Return the bytes that all copies take."""
        one = -(-self.length // PAGE) * PAGE + INODE
        return (self.copies or peers + 1) * self.files * one


def told(size: int) -> str:
    """Return bytes in words: 2 GB."""
    unit, name = next(((unit, name) for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "KB")) if size >= unit), (1, "bytes"))
    return f"{size / unit:g} {name}"


@dataclass(frozen=True)
class Contents:
    """Races with several artifacts, in turns, each on a fresh rig with the same links: ours, and others to compare with."""

    name: str
    title: str
    layout: Layout
    target: float
    cases: Sequence[Case]
    repeat: int = 1

    def run(self, systems: dict[str, System]) -> Iterator[Outcome]:
        """Yield the outcome of every race as it ends; one that cannot be run has the reason as its error."""
        for _, case in itertools.product(range(self.repeat), self.cases):
            outcome = once(self.layout, systems[case.system], case, self.name)
            outcome.target = self.target if case.judged else None
            yield outcome


def once(layout: Layout, system: System, case: Case, scenario: str) -> Outcome:
    """Run one race of a case on a rig of its own."""
    size = case.files * case.length
    outcome = Outcome(system.name, scenario, layout.peers, layout.rate, size, layout.limit(size), case.name, case.files)
    outcome.skipped = system.missing() or layout.lacking(case.held(layout.peers))
    if outcome.ok:
        with Rig.up(layout) as rig:
            artifact = case.make(rig.directory / "artifact")
            if isinstance(system, Murder):
                system = system.having(**case.options)
            outcome = race(rig, system, artifact, scenario, case.stagger, case.prepare)
            outcome.case = case.name
    return outcome


MANY = 200_000
BESIDE = partial(Case, judged=False)  # only to compare with


def locally(files: int, length: int, judged: bool = True) -> list[Case]:
    """Return ours, what the machine can do at the most, and what takes the same from the origin, one after another."""
    others = [Case(files, length, system=system, judged=False) for system in ("bare work", "rsync")]
    return [Case(files, length, judged=judged), *others]


AGAIN = partial(Case, prepare=known, copies=1)
CHANGED = partial(Case, prepare=older, copies=3)
CONTENTS = [
    Contents(
        "tree",
        "many small files against one file of as many bytes, one pair over loopback, in memory",
        Layout(1, 0),
        1.5,  # times the file
        [
            *locally(1, 2 * GB, judged=False),
            *locally(MANY, 10 * KB),
            *locally(1, 200 * MB, judged=False),
            *locally(MANY, 1 * KB),
        ],
        repeat=2,
    ),
    Contents(
        "tree-three",
        "many small files against one file of as many bytes, 3 peers, 1 Gbit/s, in memory",
        Layout(3, 1000),
        1.5,
        [BESIDE(1, 2 * GB), Case(MANY, 10 * KB)],
    ),
    Contents(
        "tree-links",
        "many small files against one file of as many bytes, 3 peers, 200 Mbit/s: links are the limit and not cores, in memory",
        Layout(3, 200),
        1.5,
        [BESIDE(1, 2 * GB), Case(MANY, 10 * KB)],
    ),
    Contents(
        "tree-eleven",
        "many small files against one file of as many bytes, 11 peers, 100 Mbit/s, in memory",
        Layout(11, 100),
        1.5,
        [BESIDE(1, 400 * MB), Case(MANY, 2 * KB)],
    ),
    Contents(
        "again",
        "a second run on 11 hosts at once with 2 GB in place, in memory (one copy, which the hosts share by hard links)",
        Layout(11, 100),
        2,  # seconds
        [
            AGAIN(1, 2 * GB),
            AGAIN(20_000, 100 * KB),
            AGAIN(1, 2 * GB, "verify: full", options={"verify": "full"}, judged=False),
        ],
    ),
    Contents(
        "again-many",
        "a second run on 11 hosts with many small files in place, in memory (one copy, which the hosts share by hard links)",
        Layout(11, 100),
        2,
        [AGAIN(MANY, 10 * KB, "all hosts at once"), AGAIN(MANY, 10 * KB, "one host after another", stagger=30)],
    ),
    Contents(
        "changed",
        "2 GB of which 1 % changed, one peer, 1 Gbit/s, in memory",
        Layout(1, 1000),
        1,  # percent
        [
            CHANGED(20_000, 100 * KB),
            CHANGED(2_000, 1 * MB),
            CHANGED(1, 2 * GB, "in one place"),
            CHANGED(1, 2 * GB, "in ten places", prepare=partial(older, places=10)),
            CHANGED(20_000, 100 * KB, "all of the same time", dated=False, judged=False),
        ],
    ),
    Contents(
        "large",
        "memory over size, one pair over loopback, to disk",
        Layout(1, 0, memory=False),
        64,  # MB
        [Case(1, 100 * MB), Case(1, 1 * GB), Case(1, 20 * GB)],
    ),
]
