"""A host's link is cut in the middle of a transfer, and nothing says so: no FIN, no RST. The others notice, and go on."""

from __future__ import annotations

import subprocess
import time

import pytest
from bench.rig import inside
from bench.systems.murder import status
from cases import Case
from fleet.process import wait_until
from swarm import Party, Swarm

OTHERS = 4
LIMIT = 400_000  # bytes a second that the seeder sends: the cut is in the middle, and nobody is complete before it is noticed
NOTICED = 10  # seconds
STALL = 20  # seconds without new data after which a download fails


def neighbours(party: Party, kind: str = "peer") -> set[str]:
    """Return the addresses of the hosts that this one's daemon is connected to."""
    return {peer["addr"].rpartition(":")[0] for peer in stats(party, kind).get("peers", [])}


def stats(party: Party, kind: str = "peer") -> dict:
    return status(party, kind).get("stats", {})


def under_way(swarm: Swarm) -> bool:
    """Tell whether everybody has something, and somebody has passed something on; nobody may have everything yet."""
    known = [stats(party) for party in swarm.others]
    # Whoever still looks for what is there already tells of no pieces at all.
    assert all(one.get("pieces_have", 0) < (one.get("pieces") or 1) for one in known), "the transfer was over before the cut"
    return all(one.get("bytes_have", 0) for one in known) and any(one["bytes_uploaded"] for one in known)


def begin(swarm: Swarm) -> None:
    """Bring a transfer under way that takes much longer than a dead host may go unnoticed."""
    swarm.publish()
    swarm.we_seed(upload_limit=LIMIT)
    for party in swarm.others:
        swarm.we_download(party, state="started", stall_timeout=STALL)
    wait_until(lambda: under_way(swarm), "the transfer to be under way")


def cut(swarm: Swarm, party: Party) -> None:
    """Take down the far end of a host's cable."""
    number = [host.name for host in swarm.fleet.hosts].index(party.name)
    subprocess.run([*inside(swarm.fleet.bridge.pid), "ip", "link", "set", f"h{number}", "down"], check=True)


def lose(swarm: Swarm, lost: Party) -> list[Party]:
    """Cut a host off, wait until everybody who was connected to it has noticed, and return the others."""
    rest = [party for party in swarm.others if party is not lost]
    kinds = {party.name: "seed" if party is swarm.origin else "peer" for party in (swarm.origin, *rest)}
    watching = [party for party in (swarm.origin, *rest) if party is not lost]
    assert any(lost.address in neighbours(party, kinds[party.name]) for party in watching), f"nobody knows {lost.name}"
    cut(swarm, lost)
    began = time.monotonic()
    for party in watching:
        left = NOTICED - (time.monotonic() - began)
        kind = kinds[party.name]
        wait_until(
            lambda p=party, k=kind: lost.address not in neighbours(p, k), f"{party.name} to notice that {lost.name} is gone", left
        )
    assert all(stats(party)["pieces"] for party in rest), "a peer has ended instead"
    return rest


def feeder(swarm: Swarm) -> None:
    begin(swarm)
    lost = max(swarm.others, key=lambda party: stats(party)["bytes_uploaded"])
    complete(swarm, lose(swarm, lost))


def leaf(swarm: Swarm) -> None:
    begin(swarm)
    lost = min(swarm.others, key=lambda party: stats(party)["bytes_uploaded"])
    complete(swarm, lose(swarm, lost))


def complete(swarm: Swarm, parties: list[Party]) -> None:
    for party in parties:
        swarm.we_download(party, stall_timeout=STALL)
        swarm.arrived(party)


def seeder(swarm: Swarm) -> None:
    """The seeder's host has the tracker too: nobody can get what only the seeder had, and everybody says so in time."""
    begin(swarm)
    for party in lose(swarm, swarm.origin):
        with pytest.raises(RuntimeError, match=rf"No new data of file for {STALL}s: \d+ of \d+ pieces are missing"):
            swarm.we_download(party, stall_timeout=STALL)
        assert not (party.dest / swarm.source.name).exists(), party.name


CASES = [Case(f"dead-{scene.__name__}", scene, "file", "ours", OTHERS) for scene in (feeder, leaf, seeder)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dead_host(stage, case):
    stage.outcome(case)
