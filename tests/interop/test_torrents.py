"""Torrents that foreign programs have made, of a file and of a tree; our peer downloads from a foreign client that seeds it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from bench.systems.clients import Client
from cases import CLIENTS, KINDS, Case
from swarm import Swarm, call, files, without_empty

HYBRID = Path(__file__).with_name("hybrid-torrent")
MAKERS = {
    "mktorrent": lambda swarm: ["mktorrent", "-l", "16", "-a", swarm.announce, "-o", swarm.torrent, swarm.source],
    "transmission-create": lambda swarm: ["transmission-create", "-t", swarm.announce, "-o", swarm.torrent, swarm.source],
    "libtorrent-hybrid": lambda swarm: [HYBRID, swarm.source, swarm.announce, swarm.torrent],
}


def made_elsewhere(maker: str, swarm: Swarm) -> None:
    for path in swarm.source.rglob("*"):  # of which these programs would put the targets into the torrent
        if path.is_symlink():
            path.unlink()
    (party,) = swarm.others
    swarm.origin.run(*MAKERS[maker](swarm))
    if "hybrid" in maker:
        assert b"9:file tree" in swarm.torrent.read_bytes()
    made = call(party, "peer", torrent=str(swarm.torrent), dest=str(party.dest / "nothing"), _ansible_check_mode=True)
    swarm.track(made["infohash"])
    swarm.they_seed(client_of(maker), made)
    swarm.we_download(party)
    wanted = files(swarm.source)
    if maker == "transmission-create":  # it leaves out empty files
        wanted = without_empty(wanted)
    assert files(party.dest / swarm.source.name) == wanted


def client_of(maker: str) -> Client:
    """Return the client of the same make; mktorrent has none."""
    return next((client for client in CLIENTS if maker.startswith(client.name)), CLIENTS[0])


CASES = [Case(maker, functools.partial(made_elsewhere, maker), kind, "opentracker") for maker in MAKERS for kind in KINDS]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_foreign_torrent(stage, case):
    stage.outcome(case)
