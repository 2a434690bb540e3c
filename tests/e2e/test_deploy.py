"""The main job over real ssh: a file and a tree on every host of a fleet whose firewalls let in nothing but ssh."""

from __future__ import annotations

import re

import pytest
from artifacts import make_file, make_tree, manifest
from lab import DEPLOY
from traces import Trace, assert_nothing_left

FILE, TREE = "/srv/artifact.bin", "/srv/tree"


@pytest.fixture(scope="module")
def sources(fleet) -> dict[str, dict]:
    """Put the artifacts on the controller and on the last host; return their manifests."""
    for host in (fleet.controller, fleet.peers[-1]):
        make_file(host.path(FILE))
        make_tree(host.path(TREE))
    return {path: manifest(path, fleet.controller) for path in (FILE, TREE)}


def deploy(lab, inventory, src, dest, **options):
    return lab.playbook(DEPLOY, inventory, murder_src=src, murder_dest=dest, murder_firewall=True, murder_seed_time=2, **options)


def test_file_and_again(lab, fleet, sources):
    """The controller is tracker and seeder, as in Murder's usual set-up."""
    peers, dest = fleet.peers[:11], "/srv/deployed.bin"
    traces = [Trace.of(host) for host in fleet.hosts]
    inventory = lab.inventory(*peers)

    first = deploy(lab, inventory, FILE, dest)
    assert first.code == 0
    assert {peer.name for peer in peers} <= first.changed()
    for peer in peers:
        assert manifest(dest, peer) == sources[FILE], peer.name
    assert_nothing_left(traces, dest)

    again = deploy(lab, inventory, FILE, dest)
    assert again.code == 0
    assert again.changed() == set()
    assert_nothing_left(traces, dest)


def test_tree_and_again(lab, fleet, sources):
    """Tracker and seeder are hosts of their own."""
    *peers, tracker, seeder = fleet.peers
    dest = "/srv/deployed tree"
    traces = [Trace.of(host) for host in fleet.hosts]
    inventory = lab.inventory(*peers, tracker=tracker, seeder=seeder)

    first = deploy(lab, inventory, TREE, dest)
    assert first.code == 0
    for peer in peers:
        assert manifest(dest, peer) == sources[TREE], peer.name
    assert_nothing_left(traces, dest)

    again = deploy(lab, inventory, TREE, dest)
    assert again.code == 0
    assert again.changed() == set()

    for peer in peers:
        peer.run("rm", f"{dest}/app/bin/run")
        peer.run("sh", "-c", f"echo spoiled >'{dest}/größe/naïve ☃.txt'; chmod 600 '{dest}/app/lib/one byte'")
    repaired = deploy(lab, inventory, TREE, dest)
    assert {peer.name for peer in peers} <= repaired.changed()
    for peer in peers:
        assert manifest(dest, peer) == sources[TREE], peer.name
    assert_nothing_left(traces, dest)


def test_progress_is_told(lab, fleet, sources):
    """While tasks wait for their hosts, here with fewer forks than hosts."""
    peers = fleet.peers[:3]
    told = re.compile(r"^artifact\.bin: \d of 3 hosts have it, (\d+) % of all bytes are there$", re.MULTILINE)
    options = {"murder_progress": 1, "murder_download_limit": "10M", "forks": 2}
    run = deploy(lab, lab.inventory(*peers), FILE, "/srv/deployed slowly", **options)
    assert run.code == 0
    shares = [int(share) for share in told.findall(run.output)]
    assert shares and shares == sorted(shares) and shares[-1] > 0


def test_fewer_forks_than_hosts(lab, fleet, sources):
    dest = "/srv/deployed with five forks"
    traces = [Trace.of(host) for host in fleet.hosts]
    run = deploy(lab, lab.inventory(*fleet.peers), FILE, dest, forks=5, murder_mode="0600", murder_owner="operator")
    assert run.code == 0
    for peer in fleet.peers:
        (kind, mode, sha256), wanted = manifest(dest, peer)["."], sources[FILE]["."]
        assert (kind, mode, sha256) == ("file", "0o600", wanted[2])
        assert peer.run("stat", "--format=%U", dest).stdout.strip() == "operator"
    assert_nothing_left(traces, dest)


def test_modes_that_are_numbers(lab, fleet, sources):
    """An unquoted 0640 is the number 416 in YAML, and the file mode that its octal digits say."""
    peers, dest, variables = fleet.peers[:2], "/srv/deployed with numbers", "/etc/ansible/modes.yml"
    traces = [Trace.of(host) for host in [fleet.controller, *peers]]
    fleet.controller.path(variables).write_text("murder_mode: 0640\nmurder_directory_mode: 0750\n")
    run = lab.playbook(
        DEPLOY,
        lab.inventory(*peers),
        f"--extra-vars=@{variables}",
        murder_src=TREE,
        murder_dest=dest,
        murder_firewall=True,
        murder_seed_time=2,
    )
    assert run.code == 0
    wanted = {"directory": "0o750", "file": "0o640"}
    for peer in peers:
        there = [entry for entry in manifest(dest, peer).values() if entry[0] != "link"]
        assert {entry[0]: entry[1] for entry in there} == wanted
        assert all(entry[1] == wanted[entry[0]] for entry in there)
    assert_nothing_left(traces, dest)
