"""Each client downloads from our seeder, and seeds to our peer; through both trackers, a file and a tree."""

from __future__ import annotations

import functools
from pathlib import Path

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
    for path in swarm.source.rglob("*"):
        if path.is_symlink() and refused(client, path):
            path.unlink()
    (party,) = swarm.others
    swarm.they_seed(client, swarm.publish())
    swarm.we_download(party)
    swarm.arrived(party)


def refused(client: Client, link: Path) -> bool:
    """Tell whether a client that opens a link as a file cannot seed a tree that has this one."""
    match client.name:
        case "aria2c":  # gives up if it leads to a directory, and makes a file where it leads to
            return link.is_dir() or not link.exists()
        case "libtorrent":  # takes it for one that leads to itself
            return not link.exists()
    return False


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
