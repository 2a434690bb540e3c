"""Each client downloads from our seeder, and seeds to our peer; through both trackers, a file and a tree."""

from __future__ import annotations

import functools

import pytest
from bench.systems.clients import Client
from cases import CLIENTS, KINDS, Case
from swarm import TRACKERS, Swarm


def downloads(client: Client, swarm: Swarm) -> None:
    (party,) = swarm.others
    swarm.publish()
    swarm.we_seed()
    swarm.they_download(client, party)
    swarm.await_done(party)
    swarm.arrived_at(client, party)


def seeds(client: Client, swarm: Swarm) -> None:
    if client.name == "aria2c":  # it opens a link as a file, and gives up if that leads to a directory
        for path in swarm.source.rglob("*"):
            if path.is_symlink() and path.is_dir():
                path.unlink()
    (party,) = swarm.others
    swarm.they_seed(client, swarm.publish())
    swarm.we_download(party)
    swarm.arrived(party)


CASES = [
    Case(f"{client.name}-{scene.__name__}", functools.partial(scene, client), kind, tracker)
    for client in CLIENTS
    for scene in (downloads, seeds)
    for tracker in TRACKERS
    for kind in KINDS
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pair(stage, case):
    stage.outcome(case)
