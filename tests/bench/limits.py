"""How well upload and download limits hold: the bytes on the limited host's link, against its limit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .artifacts import File
from .meter import Sample
from .race import race
from .rig import Layout, Rig
from .systems.murder import Murder

LAYOUT = Layout(5, 100)
SECONDS = 10.0  # how long the limited transfer takes
WINDOW = 1.0  # seconds, the shortest time over which a limit is judged
EDGES = 0.1  # of all bytes at the beginning and at the end, where there is not always something to send
TARGET, TARGET_WINDOW = "0.95 to 1.05", "at most 1.10"


@dataclass(frozen=True)
class Kind:
    """A limit to try: an option of the host in this seat (0 is the origin), and what passes its link in that direction."""

    name: str
    seat: int
    option: str
    counted: Callable[[Sample, int], int]
    rates: Sequence[float] = (10, 40, 80)  # Mbit/s

    def size(self, rate: float) -> int:
        """Return the bytes of an artifact that keeps the limited link busy for so long."""
        return int(SECONDS * rate * 1e6 / 8)


def _sent(sample: Sample, seat: int) -> int:
    return sample.sent[seat]


def _received(sample: Sample, seat: int) -> int:
    return sample.received[seat]


MIDDLE = 1 + LAYOUT.peers // 2
KINDS = (
    Kind("download of a peer", MIDDLE, "download_limit", _received),
    Kind("upload of the seeder", 0, "upload_limit", _sent),
    # Below what the trees ask of a peer, which is less than half of its link: above, it has not always something to send.
    Kind("upload of a peer", MIDDLE, "upload_limit", _sent, (10, 20, 40)),
)


@dataclass(frozen=True)
class Held:
    """One transfer below a limit of rate Mbit/s; mean and worst are times the limit, worst over the fullest second."""

    kind: str
    rate: float
    mean: float = 0.0
    worst: float = 0.0
    seconds: float = 0.0  # that mean was measured over
    error: str = ""
    date: str = ""  # when it ended
    checkout: str = ""  # of the program that was measured
    processor: str = ""  # of the machine that it was measured on

    def told(self) -> str:
        """Return this transfer in words."""
        where = f"{self.kind}, {self.rate:g} Mbit/s: "
        return where + (self.error or f"{self.mean:.3f} times the limit over {self.seconds:.1f} s, worst second {self.worst:.3f}")


def run(program: Path | None = None, rates: Sequence[float] = ()) -> Iterator[Held]:
    """Yield what came of every limit as its transfer ends; of these rates only, if some are named."""
    with Rig.up(LAYOUT) as rig:
        for kind in KINDS:
            for rate in kind.rates:
                if not rates or rate in rates:
                    yield _try(rig, program, kind, rate)


def _try(rig: Rig, program: Path | None, kind: Kind, rate: float) -> Held:
    system = Murder(program).having(rig.seats[kind.seat].name, **{kind.option: int(rate * 1e6 / 8)})
    artifact = File.make(rig.directory / "artifact", kind.size(rate))
    samples: list[Sample] = []
    outcome = race(rig, system, artifact, "limits", samples=samples)
    if outcome.error:
        return Held(kind.name, rate, error=f"failed: {outcome.error}")
    return judge(kind.name, rate, [(sample.at, kind.counted(sample, kind.seat)) for sample in samples])


def judge(kind: str, rate: float, course: Sequence[tuple[float, int]]) -> Held:
    """Return what the course of a link's counter (seconds, bytes) says of a limit."""
    per_second = rate * 1e6 / 8
    first, total = course[0][1], course[-1][1] - course[0][1]
    steady = [(at, count) for at, count in course if EDGES <= (count - first) / max(total, 1) <= 1 - EDGES]
    if len(steady) < 2:
        return Held(kind, rate, error=f"failed: {total} bytes passed the link, too few to judge")
    (began, before), (ended, after) = steady[0], steady[-1]
    worst = 0.0
    for number, (at, count) in enumerate(course):
        later = next(((end, more) for end, more in course[number:] if end - at >= WINDOW), None)
        if later:
            worst = max(worst, (later[1] - count) / (later[0] - at) / per_second)
    mean = (after - before) / (ended - began) / per_second
    return Held(kind, rate, round(mean, 4), round(worst, 4), round(ended - began, 2))


def rows(results: Sequence[Held]) -> list[list[str]]:
    """Return header and one row for each limit: the median over its transfers, and the worst second of all of them."""
    table = [["limit", "Mbit/s", "runs", "mean, times the limit", "target", "worst second, times the limit", "target"]]
    for kind, rate in dict.fromkeys((held.kind, held.rate) for held in results):
        tried = [held for held in results if (held.kind, held.rate) == (kind, rate)]
        good = [held for held in tried if not held.error]
        runs = str(len(tried)) if len(good) == len(tried) else f"{len(good)} of {len(tried)}"
        mean = f"{median(held.mean for held in good):.3f}" if good else ""
        worst = f"{max(held.worst for held in good):.3f}" if good else ""
        table.append([kind, f"{rate:g}", runs, mean, TARGET, worst, TARGET_WINDOW])
    return table


def dump(results: Sequence[Held]) -> str:
    return "[\n" + ",\n".join(json.dumps(dataclasses.asdict(held)) for held in results) + "\n]\n"


def load(text: str) -> list[Held]:
    """Return what dump has written."""
    return [Held(**entry) for entry in json.loads(text)]
