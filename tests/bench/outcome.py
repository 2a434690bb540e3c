"""What a race came to, and how the numbers of a table are made from it."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """One race: one system, one scenario. Times are seconds since the first peer was started, sizes bytes."""

    system: str
    scenario: str
    peers: int
    rate: float  # Mbit/s of every link, 0 without limits
    size: int
    limit: float  # F/B in seconds
    case: str = ""  # which artifact, where a scenario has several
    files: int = 1  # in the artifact
    slowed: list[int] = field(default_factory=list)  # the peers with other links, which the figures leave out
    served: float = 0.0  # seconds until the origin was ready
    target: float | None = None  # what is wanted of the scenario's main number, in its unit
    starts: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # of every peer, in the order of the peers
    figures: list[dict[str, float]] = field(default_factory=list)  # what the system says of every peer
    cpu: dict[str, float] = field(default_factory=dict)  # seconds: origin, peers, softirq, machine, others
    memory: dict[str, int] = field(default_factory=dict)  # peak of one process: origin, peer
    sent: list[int] = field(default_factory=list)  # by each seat's link, the origin's first
    received: list[int] = field(default_factory=list)
    links: list[tuple[float, int, int]] = field(default_factory=list)  # time, sent by the origin, received by all peers
    commands: list[str] = field(default_factory=list)  # at the origin and at the first peer
    skipped: str = ""  # why there was no race
    error: str = ""  # how it failed
    date: str = ""  # when it ended
    checkout: str = ""  # of the program that was measured
    processor: str = ""  # of the machine that it was measured on

    @property
    def ok(self) -> bool:
        return not (self.error or self.skipped)


def dump(outcomes: Iterable[Outcome]) -> str:
    """Return outcomes as JSON, one a line."""
    lines = (json.dumps(dataclasses.asdict(outcome)) for outcome in outcomes)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def load(text: str) -> list[Outcome]:
    """Return the outcomes that dump has written."""
    return [Outcome(**entry) for entry in json.loads(text)]


@dataclass(frozen=True)
class Figures:
    """The numbers of one race that are reported; None is what could not be measured."""

    seconds: float  # last peer, from the last start
    p50: float  # times F/B, as p99 and last
    p99: float
    last: float
    seeder: float | None  # bytes that the origin sent, times F
    twice: float | None  # share of the payload that came twice, as the system counts it
    carried: float | None  # bytes on the peers' links, times F * N
    cpu: float  # seconds per GB delivered: all processes of origin and peers, and softirqs beside them
    cpu_machine: float  # the same, of everything this machine did
    noise: float  # cores that other programs of this machine had meanwhile
    rss_origin: int
    rss_peer: int

    @classmethod
    def of(cls, outcome: Outcome) -> Figures:
        since = max(outcome.starts)
        ends = [max(time - since, 0.0) for number, time in enumerate(outcome.times) if number not in outcome.slowed]
        delivered = outcome.peers * outcome.size
        used, twice = outcome.cpu, [peer["bytes_received_twice"] for peer in outcome.figures if "bytes_received_twice" in peer]
        links = bool(outcome.rate)
        return cls(
            seconds=max(ends),
            p50=percentile(ends, 50) / outcome.limit,
            p99=percentile(ends, 99) / outcome.limit,
            last=max(ends) / outcome.limit,
            seeder=outcome.sent[0] / outcome.size if links else None,
            twice=sum(twice) / (len(twice) * outcome.size) if twice else None,
            carried=sum(outcome.received[1:]) / delivered if links else None,
            cpu=(used["origin"] + used["peers"]) / delivered * 1e9,
            cpu_machine=used["machine"] / delivered * 1e9,
            noise=used["others"] / max(outcome.times),
            rss_origin=outcome.memory["origin"],
            rss_peer=outcome.memory["peer"],
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that share percent of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * share / 100), 1) - 1]


def middle(runs: Sequence[Figures]) -> Figures:
    """Return the median of every number over several races of one system in one scenario."""
    medians = {}
    for column in dataclasses.fields(Figures):
        values = [value for value in (getattr(run, column.name) for run in runs) if value is not None]
        medians[column.name] = statistics.median(values) if values else None
    return Figures(**medians)
