"""Cases run side by side, because foreign clients spend most of their time waiting; a test takes the outcome of its case."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifacts import MB, make_file, make_tree
from bench.systems.clients import Aria2, Libtorrent, Transmission
from swarm import Swarm

AT_ONCE = 8
KINDS = ("file", "tree")
NAMES = {"line break": "line\nbreak", "long name": "n" * 255, "no UTF-8": os.fsdecode(b"not utf-8 \xff")}
CLIENTS = (Aria2(), Transmission(encryption=1), Libtorrent())


@dataclass(frozen=True)
class Case:
    """What happens in a swarm of such an artifact, such a tracker and so many hosts beside the origin; act raises what fails."""

    name: str
    act: Callable[[Swarm], None]
    kind: str
    tracker: str
    others: int = 1

    def __str__(self) -> str:
        return f"{self.name}-{self.kind}-{self.tracker}"


def make_hard_tree(top: Path) -> None:
    """Write a tree with what the torrent format has no place for, too: hard links and a hole."""
    make_tree(top)
    os.link(top / "app/bin/run", top / "app/same")
    os.link(top / "app/lib/one byte", top / "again")
    (top.parent / "beside").write_bytes(b"no part of the tree")
    (top / "app/absolute").symlink_to(top.parent / "beside")
    (top / "app/outside").symlink_to("../" * 5 + "beside")  # the same, from where a swarm has the tree
    (top / "app/dangling").symlink_to("nowhere")
    with (top / "disk.img").open("wb") as disk:
        disk.truncate(4 * MB)
        disk.seek(2 * MB)
        disk.write(bytes(range(256)) * 100)


def make_named(top: Path, name: str) -> None:
    """Write a tree with a file of this name and one of a plain name."""
    top.mkdir()
    (top / name).write_bytes(b"odd")
    (top / "plain").write_bytes(b"plain")


class Stage:
    """Runs cases, some at once, each in a network and a directory of its own."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._numbers = itertools.count(1)
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._outcomes: dict[Case, Future[None]] = {}
        self._running: list[Swarm] = []
        make_file(directory / "file", 8 * MB)
        make_hard_tree(directory / "tree")
        for kind, name in NAMES.items():
            make_named(directory / kind, name)

    def begin(self, cases: Iterable[Case]) -> None:
        self._outcomes |= {case: self._pool.submit(self._run, case) for case in cases}

    def outcome(self, case: Case) -> None:
        """Wait for the end of a case, and raise what it raised."""
        self._outcomes[case].result()

    def close(self) -> None:
        """End what still runs, after Ctrl-C."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for swarm in list(self._running):
            swarm.switch_off()
        self._pool.shutdown()

    def _run(self, case: Case) -> None:
        directory = self._directory / f"case{next(self._numbers)}"
        with Swarm.up(directory, self._directory / case.kind, case.tracker, case.others) as swarm:
            self._running.append(swarm)
            try:
                case.act(swarm)
            finally:
                self._running.remove(swarm)
