"""Artifacts that cannot be seeded: nothing is started, nothing is written."""

from __future__ import annotations

import os
import shutil

import pytest
from artifacts import make_file, make_tree
from fleet.process import wait_until
from program import NOBODY, free_port


@pytest.fixture
def tracker(sandbox) -> str:
    port = free_port()
    sandbox.succeeds("tracker", listen="127.0.0.1", port=port)
    return f"127.0.0.1:{port}"


def test_source_is_missing(sandbox, tracker):
    source = sandbox.directory / "no such file"
    message = sandbox.fails("seed", src=str(source), tracker=tracker)
    assert f"Source {source} not found" in message
    assert not source.with_name("no such file.torrent").exists()


def test_source_cannot_be_read(sandbox, tracker, root):
    source = sandbox.directory / "secret"
    make_file(source, 1000)
    source.chmod(0o600)
    own = sandbox.directory / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    message = sandbox.fails(
        "seed", nobody=True, src=str(source), tracker=tracker, torrent=str(own / "t"), state_dir=str(own / "state")
    )
    assert str(source) in message
    assert "permission denied" in message.lower()
    assert not (own / "t").exists()


def test_source_is_a_device(sandbox, tracker):
    message = sandbox.fails("seed", src="/dev/null", tracker=tracker, torrent=str(sandbox.directory / "t"))
    assert "/dev/null" in message
    assert not (sandbox.directory / "t").exists()


def test_source_changes_while_it_is_seeded(sandbox, tracker):
    source = sandbox.directory / "artifact"
    make_file(source, 4_000_000)
    seed = sandbox.succeeds("seed", src=str(source), tracker=tracker, ip="127.0.0.1")
    with source.open("r+b") as file:
        file.write(b"changed")
    dest = sandbox.directory / "dest"
    message = sandbox.fails(
        "peer", torrent_content=seed["torrent_content"], dest=str(dest), ip="127.0.0.1", timeout=15, stall_timeout=5
    )
    assert str(source) in message
    assert "changed" in message
    assert not dest.exists()


def test_changed_source_is_hashed_anew(sandbox, tracker):
    source = sandbox.directory / "tree"
    make_tree(source)
    first = sandbox.succeeds("seed", src=str(source), tracker=tracker, ip="127.0.0.1")
    sandbox.succeeds("seed", src=str(source), tracker=tracker, ip="127.0.0.1", state="stopped")
    (source / "empty file").write_text("no longer")
    second = sandbox.succeeds("seed", src=str(source), tracker=tracker, ip="127.0.0.1")
    assert first["infohash"] != second["infohash"]


def test_present_only_writes_the_torrent(sandbox):
    source = sandbox.directory / "tree"
    make_tree(source)
    wanted = {"src": str(source), "state": "present", "tracker": "127.0.0.1:1"}
    assert sandbox.succeeds("seed", check_mode=True, **wanted)["changed"] is True
    assert not (sandbox.directory / "tree.torrent").exists()
    assert sandbox.succeeds("seed", **wanted)["changed"] is True
    assert sandbox.succeeds("seed", **wanted)["changed"] is False
    assert sandbox.falls_silent()
    shutil.rmtree(source)
    assert "not found" in sandbox.fails("seed", **wanted)


def test_seeder_ends_by_itself_when_nobody_comes(sandbox, tracker):
    source = sandbox.directory / "artifact"
    make_file(source, 1000)
    sandbox.succeeds("seed", src=str(source), tracker=tracker, ip="127.0.0.1", idle_timeout=1)
    wait_until(lambda: len(sandbox.daemons()) == 1, "the seeder without peers to end, and the tracker to stay", 30)
