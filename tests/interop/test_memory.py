"""No daemon holds the artifact in memory: what each of them has held at most, while more than that passes through it."""

from __future__ import annotations

import os
import re

import pytest
from artifacts import MB
from cases import Case
from swarm import Party, Swarm

OTHERS = 2
SIZE = 192 * MB
MOST = 64 * MB  # that a daemon may ever hold, whatever the size of the artifact


def peaks(party: Party) -> dict[str, int]:
    """Return what each daemon of ours on this host has held at most, by its name."""
    daemons = {args.split()[0]: pid for pid, args in party.host.processes().items() if args.startswith("murder_")}
    told = {name: party.run("cat", f"/proc/{pid}/status") for name, pid in daemons.items()}
    return {name: 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) for name, status in told.items()}


def large(swarm: Swarm) -> None:
    swarm.source.write_bytes(os.urandom(SIZE))
    swarm.publish()
    swarm.we_seed()
    for party in swarm.others:
        swarm.we_download(party)
        swarm.arrived(party)
    for party in (swarm.origin, *swarm.others):
        held = peaks(party)
        assert set(held) == ({"murder_tracker", "murder_seed"} if party is swarm.origin else {"murder_peer"})
        assert max(held.values()) <= MOST, held


CASES = [Case("memory-large", large, "file", "ours", OTHERS)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_memory(stage, case):
    stage.outcome(case)
