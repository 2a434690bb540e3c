"""One swarm with every client in it and several peers of ours, who all get the same from a seeder that is too slow for them."""

from __future__ import annotations

import time

import pytest
from cases import CLIENTS, Case
from swarm import TRACKERS, Swarm

LIMIT = 500_000  # bytes a second that the seeder sends: a copy takes 16 s, longer than any client takes to find its feet
OURS = 4


def mixed(swarm: Swarm) -> None:
    theirs, ours = swarm.others[: len(CLIENTS)], swarm.others[len(CLIENTS) :]
    size = swarm.publish()["size"]
    began = time.monotonic()
    swarm.we_seed(upload_limit=LIMIT)
    for client, party in zip(CLIENTS, theirs):
        swarm.they_download(client, party)
    for party in ours:
        swarm.we_download(party, state="started")
    results = [swarm.we_download(party) for party in ours]
    swarm.await_done(*theirs)
    seconds = time.monotonic() - began
    for party in ours:
        swarm.arrived(party)
    for client, party in zip(CLIENTS, theirs):
        swarm.arrived_at(client, party)
    # They have it from each other: the seeder cannot have sent half of what came.
    assert LIMIT * seconds < size * len(swarm.others) / 2
    assert all(result["bytes_from_peers"] > 0 for result in results)


CASES = [Case("mixed", mixed, "tree", tracker, others=len(CLIENTS) + OURS) for tracker in TRACKERS]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mixed_swarm(stage, case):
    stage.outcome(case)
