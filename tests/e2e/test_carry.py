"""How the .torrent reaches the hosts: from the tracker, not through Ansible's variables, arguments and results."""

from __future__ import annotations

import pytest
from artifacts import manifest
from lab import DEPLOY
from traces import Trace, assert_nothing_left

TREE, DEST = "/srv/many", "/srv/many deployed"
FILES = 3000
MOST = 50_000  # characters of output; the .torrent alone has several times as many in base64


@pytest.fixture(scope="module")
def tree(fleet) -> dict:
    """Make a tree of which there is little but names."""
    top = fleet.controller.path(TREE)
    top.mkdir()
    for number in range(FILES):
        (top / f"a rather long name that makes a torrent large, number {number:06}").write_text(str(number))
    return manifest(TREE, fleet.controller)


def test_results_do_not_hold_the_torrent(lab, fleet, tree):
    peers = fleet.peers[:3]
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    options = {"murder_src": TREE, "murder_dest": DEST, "murder_firewall": True, "murder_seed_time": 2}
    inventory = lab.inventory(*peers)

    predicted = lab.playbook(DEPLOY, inventory, "--check", **options)
    assert predicted.code == 0
    assert {peer.name for peer in peers} <= predicted.changed()

    # One fork: every host asks twice, to begin and to wait.
    run = lab.playbook(DEPLOY, inventory, "-v", forks=1, **options)
    assert run.code == 0
    assert "infohash" in run.output
    assert len(run.output) < MOST
    for peer in peers:
        assert manifest(DEST, peer) == tree, peer.name
    assert_nothing_left(traces, DEST)

    for options_of_run in ([], ["--check"]):  # in check mode there is no tracker that has the .torrent
        again = lab.playbook(DEPLOY, inventory, *options_of_run, **options)
        assert again.code == 0
        assert again.changed() == set()
    assert_nothing_left(traces, DEST)
    for peer in peers:
        peer.run("rm", "-r", DEST)


def test_peer_by_infohash(sandbox):
    source = sandbox.directory / "artifact"
    source.write_text("content")
    dest = str(sandbox.directory / "dest")
    seed = sandbox.swarm(source, return_content=False)
    assert "torrent_content" not in seed
    tracker = sandbox.succeeds("info")["trackers"][0]
    options = {"infohash": seed["infohash"], "dest": dest, "ip": "127.0.0.1", "timeout": 30}
    address = f"127.0.0.1:{tracker['port']}"

    assert "tracker is required with infohash" in sandbox.fails("peer", **options)
    assert "is not 40 hex digits" in sandbox.fails("peer", **options | {"infohash": "1234"}, tracker=address)
    message = sandbox.fails("peer", **options | {"infohash": "12" * 20}, tracker=address)
    assert "is not registered with this tracker" in message
    assert sandbox.succeeds("peer", **options, tracker=address)["changed"] is True
    assert sandbox.succeeds("peer", **options, tracker=address)["changed"] is False
