"""Destinations that cannot be written: what was there before is there afterwards, and nothing else."""

from __future__ import annotations

import os
import subprocess

import pytest
from artifacts import make_file, make_tree, manifest
from fleet.process import wait_until
from program import NOBODY

OLD = b"what was there before\n"


@pytest.fixture
def seed(sandbox) -> dict:
    make_file(sandbox.directory / "artifact", 3_000_000)
    return sandbox.swarm(sandbox.directory / "artifact")


def peer(seed: dict, dest, **options) -> dict:
    return {
        "torrent_content": seed["torrent_content"],
        "dest": str(dest),
        "ip": "127.0.0.1",
        "timeout": 30,
        "seed_time": 0,
    } | options


def test_directory_of_destination_is_missing(sandbox, seed):
    dest = sandbox.directory / "missing" / "dest"
    message = sandbox.fails("peer", **peer(seed, dest))
    assert f"Destination directory {dest.parent} does not exist" in message
    assert not dest.parent.exists()


def test_destination_is_a_directory_and_the_artifact_a_file(sandbox, seed):
    dest = sandbox.directory / "dest"
    make_tree(dest)
    before = manifest(dest)
    message = sandbox.fails("peer", **peer(seed, dest))
    assert str(dest) in message
    assert "is a directory" in message
    assert manifest(dest) == before


def test_destination_is_a_file_and_the_artifact_a_directory(sandbox):
    make_tree(sandbox.directory / "tree")
    seed = sandbox.swarm(sandbox.directory / "tree")
    dest = sandbox.directory / "dest"
    dest.write_bytes(OLD)
    message = sandbox.fails("peer", **peer(seed, dest))
    assert str(dest) in message
    assert "is a file, but the artifact is a directory" in message
    assert dest.read_bytes() == OLD


def test_destination_is_read_only(sandbox, seed, root):
    place = sandbox.directory / "place"
    place.mkdir(mode=0o755)
    (place / "dest").write_bytes(OLD)
    own = sandbox.directory / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    message = sandbox.fails("peer", nobody=True, **peer(seed, place / "dest", state_dir=str(own)))
    assert str(place) in message
    assert "cannot be written" in message
    assert (place / "dest").read_bytes() == OLD
    assert [path.name for path in place.iterdir()] == ["dest"]


@pytest.mark.parametrize("check_mode", [False, True], ids=["done", "predicted"])
@pytest.mark.parametrize("nobody", [False, True], ids=["root", "an ordinary user"])
def test_disk_is_full(sandbox, seed, small_disk, check_mode, nobody):
    dest = small_disk / "dest"
    dest.write_bytes(OLD)
    own = sandbox.directory / "own"
    own.mkdir()
    for path in (small_disk, dest, own):
        os.chown(path, NOBODY, NOBODY)
    options = {"state_dir": str(own)} if nobody else {}
    message = sandbox.fails("peer", check_mode=check_mode, nobody=nobody, **peer(seed, dest, **options))
    assert str(small_disk) in message
    assert "3.0 MB" in message or "3000000" in message or "2.9 MiB" in message
    assert "space" in message
    assert dest.read_bytes() == OLD
    assert [path.name for path in small_disk.iterdir()] == ["dest"]
    assert sandbox.succeeds("info", **options)["peers"] == []
    running = sandbox.succeeds("info")
    assert [(torrent["seeders"], torrent["leechers"]) for torrent in running["trackers"][0]["torrents"]] == [(1, 0)]


def test_file_system_is_read_only(sandbox, seed, small_disk):
    dest = small_disk / "dest"
    dest.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = sandbox.fails("peer", **peer(seed, dest))
    assert str(small_disk) in message
    assert "read-only" in message
    assert dest.read_bytes() == OLD


def test_the_same_deploy_twice_at_once(sandbox, seed):
    dest = sandbox.directory / "dest"
    both = [sandbox.start("peer", **peer(seed, dest, download_limit="1M")) for _ in "12"]
    answers = [sandbox.finish(process) for process in both]
    assert [answer.code for answer in answers] == [0, 0]
    assert manifest(dest) == manifest(sandbox.directory / "artifact")
    assert not list(sandbox.directory.glob(".dest.murder-*"))


def test_two_deploys_to_the_same_destination(sandbox, seed):
    other = sandbox.directory / "other"
    make_file(other, 3_000_000, seed=7)
    second = sandbox.swarm(other)
    dest = sandbox.directory / "dest"
    first = sandbox.start("peer", **peer(seed, dest, download_limit="500K"))
    wait_until(lambda: list(sandbox.directory.glob(".dest.murder-*")), "the first deploy to begin")
    message = sandbox.fails("peer", **peer(second, dest))
    assert first.poll() is None, "the first deploy ended too early for this test"
    assert str(dest) in message
    assert sandbox.finish(first).code == 0
    assert manifest(dest) == manifest(sandbox.directory / "artifact")


def test_partial_directory_on_another_file_system(sandbox, seed, small_disk):
    dest = sandbox.directory / "dest"
    dest.write_bytes(OLD)
    message = sandbox.fails("peer", **peer(seed, dest, partial_dir=str(small_disk)))
    assert f"{small_disk} of option partial_dir is on another filesystem than {dest}" in message
    message = sandbox.fails("peer", **peer(seed, dest, partial_dir=str(small_disk), unsafe_writes=True))
    assert f"Not enough space on {small_disk} for {dest}: 3.0 MB needed" in message
    assert dest.read_bytes() == OLD
    assert not list(small_disk.iterdir())
