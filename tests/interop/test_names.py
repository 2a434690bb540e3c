"""Names that not every client can make, in trees that each downloads from our seeder, and what becomes of them."""

from __future__ import annotations

import functools

import pytest
from bench.systems.clients import Client
from cases import CLIENTS, NAMES, Case
from fleet.process import wait_until
from swarm import PATIENCE, Swarm

# The name that a file has in the end, where it is not the one that it shall have.
BECOMES = {
    ("aria2c", "no UTF-8"): "not%20utf-8%20%FF",
    ("transmission", "line break"): "line_break",
    ("transmission", "no UTF-8"): "not utf-8 \u00ff",
    ("libtorrent", "line break"): "line_break",
    ("libtorrent", "long name"): "n" * 240,
    ("libtorrent", "no UTF-8"): "not utf-8 _",
}
# What a client says that cannot do it.
REFUSED = {
    ("aria2c", "line break"): "Detected directory traversal directive",
    ("transmission", "long name"): "File name too long",
}


def named(client: Client, kind: str, swarm: Swarm) -> None:
    (party,) = swarm.others
    swarm.publish()
    swarm.we_seed()
    swarm.they_download(client, party)
    dest, refusal = party.dest / swarm.source.name, REFUSED.get((client.name, kind))
    if refusal:
        wait_until(lambda: refusal in party.log.read_text(errors="replace"), f"{client.name} to refuse a {kind}", PATIENCE)
        assert not (dest / NAMES[kind]).exists()
        return
    swarm.await_done(party)
    odd = BECOMES.get((client.name, kind), NAMES[kind])
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == {odd: b"odd", "plain": b"plain"}


CASES = [
    Case(f"{client.name}-downloads", functools.partial(named, client, kind), kind, "ours") for client in CLIENTS for kind in NAMES
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names(stage, case):
    stage.outcome(case)
