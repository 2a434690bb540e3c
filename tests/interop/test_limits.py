"""Limits hold on the wire: what passes a limited host's link in the middle of a transfer, against its limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench import limits
from bench.meter import Meter, Sample
from bench.rig import Memory
from cases import Case
from swarm import Party, Swarm

OTHERS = 3
LIMIT = 1_000_000  # bytes a second: the file takes 8 s
LEAST, MOST = 0.95, 1.05  # times the limit, headers and acknowledgements included
EVERY = 0.05  # seconds between two looks at a link
PROMPT = 0.005  # seconds that a look may take: what was read later is not of that moment
SPARE = 0.25  # share of the machine's time that nobody wanted: less, and the machine may have been the limit

Counted = Callable[[Sample], int]


def upload(swarm: Swarm) -> None:
    swarm.publish()
    swarm.we_seed(upload_limit=LIMIT)
    held("upload", *watched(swarm, lambda sample: sample.sent[0]))


def download(swarm: Swarm) -> None:
    swarm.publish()
    swarm.we_seed()
    held("download", *watched(swarm, lambda sample: sample.received[-1], swarm.others[-1], download_limit=LIMIT))


def watched(
    swarm: Swarm, counted: Counted, limited: Party | None = None, **options: int
) -> tuple[list[tuple[float, int]], float]:
    """Bring the file to all, with options for one of them; return the course of a link's counter, and the time to spare."""
    meter, course = Meter(SimpleNamespace(fleet=swarm.fleet, seats=[]), Memory(0)), []
    idle, everything = processors()
    with ThreadPoolExecutor(OTHERS) as pool:
        calls = [pool.submit(swarm.we_download, party, **(options if party is limited else {})) for party in swarm.others]
        while not all(call.done() for call in calls):
            began = time.monotonic()
            sample = meter.links()
            if sample.at - began < PROMPT:
                course.append((sample.at, counted(sample)))
            time.sleep(EVERY)
    for call, party in zip(calls, swarm.others):
        call.result()
        swarm.arrived(party)
    idle_since, everything_since = processors()
    return course, (idle_since - idle) / max(everything_since - everything, 1)


def processors() -> tuple[int, int]:
    """Return how long the processors were idle until now, and all their time."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def held(name: str, course: list[tuple[float, int]], spare: float) -> None:
    """Fail where more than the limit passed, and where less did although there was a processor for it."""
    result = limits.judge(name, LIMIT * 8 / 1e6, course)
    assert not result.error, result.error
    assert result.mean <= MOST, result.told()
    assert result.mean >= LEAST or spare < SPARE, f"{result.told()}, {100 * spare:.0f} % of the machine to spare"


CASES = [Case(f"limit-{scene.__name__}", scene, "file", "ours", OTHERS) for scene in (upload, download)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_limit(stage, case):
    stage.outcome(case)
