"""What is measured: the links, the artifact, who runs, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .artifacts import File
from .contents import CONTENTS, other
from .outcome import Outcome
from .race import race
from .rig import Layout, Rig
from .systems import System

MB = 1_000_000
SWARMS = ("murder", "chain", "libtorrent")
MOST = (*SWARMS, "aria2c", "transmission", "udpcast")
EVERYONE = (*MOST, "rsync")  # which takes N times F/B: 20 minutes for 50 peers, and more than two hours for 200
ALONE = (*SWARMS, "aria2c", "rsync", "bare work")


@dataclass(frozen=True)
class Scenario:
    """Races of several systems on one rig, in turns, so that what disturbs the machine disturbs all of them."""

    name: str
    title: str
    layout: Layout
    size: int
    systems: Sequence[str] = SWARMS
    stagger: float = 0
    over: bool = False
    repeat: int = 3
    once: Sequence[str] = ("rsync",)  # not repeated: it takes N times F/B and never anything else

    def run(self, systems: dict[str, System]) -> Iterator[Outcome]:
        """Yield the outcome of every race as it ends; one that cannot be run has the reason as its error."""
        room = self.layout.lacking((self.layout.peers + 1) * self.size)
        with Rig.up(self.layout) as rig:
            artifact = File.make(rig.directory / "artifact", 1 if room else self.size)
            hopeless = {name: room or systems[name].missing() or systems[name].unfit(rig) for name in self.systems}
            for name, why in hopeless.items():
                if why:
                    limit = self.layout.limit(self.size)
                    yield Outcome(name, self.name, self.layout.peers, self.layout.rate, self.size, limit, skipped=why)
            for number in range(self.repeat):
                for name, why in hopeless.items():
                    if why or (number and self.layout.rate and name in self.once):
                        continue
                    yield race(rig, systems[name], artifact, self.name, self.stagger, other if self.over else None)


ELEVEN, PAIR = Layout(11, 100), Layout(1, 0)
FULL = [
    Scenario("eleven", "11 peers, 100 Mbit/s, 112 MB", ELEVEN, 112 * MB, EVERYONE),
    Scenario("fifty", "50 peers, 20 Mbit/s, 56 MB", Layout(50, 20), 56 * MB, MOST, repeat=2),
    Scenario("two-hundred", "200 peers, 5 Mbit/s, 28 MB", Layout(200, 5), 28 * MB, MOST, repeat=1),
    Scenario("staggered", "11 peers that start over 5 s, 100 Mbit/s, 112 MB, from the last start", ELEVEN, 112 * MB, stagger=5),
    Scenario("slow", "11 peers, one of them with 10 Mbit/s: the others", Layout(11, 100, slow=10), 112 * MB, repeat=2),
    Scenario("half", "11 peers, one of them with 50 Mbit/s: the others", Layout(11, 100, slow=50), 112 * MB),
    Scenario(
        "slow-several",
        "20 peers, 50 Mbit/s, three of them with 5 Mbit/s: the others",
        Layout(20, 50, slow=5, slows=3),
        56 * MB,
        once=("chain", "libtorrent"),
    ),
    Scenario("delay", "one pair, 100 Mbit/s, 50 ms round trip, 112 MB", Layout(1, 100, delay=50), 112 * MB, SWARMS, repeat=2),
    Scenario("pair", "one pair over loopback, 1 GB", PAIR, 1000 * MB, ALONE),
    Scenario("pair-over", "the same onto an older file of 1 GB", PAIR, 1000 * MB, ALONE, over=True),
    Scenario("small", "one pair over loopback, 100 MB", PAIR, 100 * MB, ("murder", "libtorrent"), repeat=1),
    *CONTENTS,
]
QUICK = [
    Scenario("eleven", "11 peers, 100 Mbit/s, 112 MB", ELEVEN, 112 * MB, repeat=1),
    Scenario("pair", "one pair over loopback, 1 GB", PAIR, 1000 * MB, ("murder",), repeat=1),
]
TITLES = {scenario.name: scenario.title for scenario in FULL}
