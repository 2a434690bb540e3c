"""Trees with everything that gets lost on bad roads, from a seeder to a peer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from artifacts import make_tree

DATA = b"\x00\x01data" * 20_000


def make_hard_tree(top: Path) -> None:
    make_tree(top)
    (top / "line\nbreak").write_bytes(DATA)
    (top / ("n" * 255)).write_text("a long name")
    (top / ("\u00e9" * 127)).write_text("a long name that is not ASCII")
    Path(os.fsdecode(os.fsencode(top) + b"/not utf-8 \xff")).write_text("a name that is no text")
    os.link(top / "app/bin/run", top / "app/bin/same")
    os.link(top / "app/bin/run", top / "again")
    (top / "app/absolute").symlink_to("/etc/hostname")
    (top / "app/outside").symlink_to("../../beside")
    (top / "app/dangling").symlink_to("nowhere")
    (top / "read only").mkdir()
    (top / "read only/file").write_bytes(DATA)
    (top / "read only").chmod(0o555)
    with (top / "disk.img").open("wb") as disk:
        disk.truncate(64_000_000)
        disk.seek(32_000_000)
        disk.write(DATA)
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_500_000_000_123_456_789 + number * 10**9), follow_symlinks=False)
    os.utime(top, ns=(0, 1_400_000_000_000_000_001))


def entries(top: Path) -> dict[str, tuple]:
    """Return what must be the same at both ends, by path."""
    first: dict[int, str] = {}
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        name, stat = str(path.relative_to(top)), path.lstat()
        content = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = first.setdefault(stat.st_ino, name), path.read_bytes()
        found[name] = (oct(stat.st_mode), stat.st_mtime_ns, content)
    return found


def peer(seed: dict, dest: Path, **options) -> dict:
    return {
        "torrent_content": seed["torrent_content"],
        "dest": str(dest),
        "ip": "127.0.0.1",
        "timeout": 50,
        "seed_time": 0,
    } | options


def test_everything_arrives(sandbox):
    source, dest = sandbox.directory / "source", sandbox.directory / "dest"
    (sandbox.directory / "beside").mkdir()
    (sandbox.directory / "beside/secret").write_text("not part of the tree")
    make_hard_tree(source)
    seed = sandbox.swarm(source)
    assert seed["left_out"] == []
    result = sandbox.succeeds("peer", **peer(seed, dest))
    assert result["changed"] is True
    sent, there = entries(source), entries(dest)
    assert there.keys() == sent.keys()
    for name, entry in sent.items():
        assert there[name] == entry, name
    assert (dest / "disk.img").stat().st_blocks <= (source / "disk.img").stat().st_blocks
    assert result["bytes_reused"] > 60_000_000, "holes were sent"
    assert sandbox.succeeds("peer", **peer(seed, dest))["changed"] is False
    assert [path.name for path in sandbox.directory.iterdir() if ".murder-" in path.name] == []


def test_nothing_but_a_hole(sandbox):
    source, dest = sandbox.directory / "source", sandbox.directory / "dest"
    with source.open("wb") as file:
        file.truncate(5_000_000)
    result = sandbox.succeeds("peer", **peer(sandbox.swarm(source), dest))
    assert dest.read_bytes() == bytes(5_000_000)
    assert dest.stat().st_blocks == 0
    assert (result["bytes_reused"], result["bytes_from_seed"]) == (5_000_000, 0)


@pytest.fixture
def special(sandbox) -> Path:
    """Return a tree with a file, a pipe and a socket."""
    source = sandbox.directory / "special"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_bytes(DATA)
    os.mkfifo(source / "sub/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "sub/socket"))
    return source


def test_special_files_are_refused_by_name(sandbox, special):
    message = sandbox.fails("seed", state="present", src=str(special))
    assert f"Source {special}/sub/pipe is a named pipe" in message
    assert f"{special}/sub/socket (socket)" in message
    assert "special: skip" in message
    assert not (sandbox.directory / "special.torrent").exists()


def test_special_files_are_skipped(sandbox, special):
    dest = sandbox.directory / "dest"
    seed = sandbox.swarm(special, special="skip")
    assert seed["left_out"] == ["sub/pipe", "sub/socket"]
    sandbox.succeeds("peer", **peer(seed, dest))
    assert sorted(str(path.relative_to(dest)) for path in dest.rglob("*")) == ["file", "sub"]


def test_excluded(sandbox):
    source, dest = sandbox.directory / "source", sandbox.directory / "dest"
    for name in (".git/config", ".gitignore", "a.log", "sub/b.log", "sub/deep/cache/x", "cache", "kept", "sub/kept"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    seed = sandbox.swarm(source, exclude=[".git*", "*.log", "/sub/**/cache/"])
    sandbox.succeeds("peer", **peer(seed, dest))
    assert sorted(str(path.relative_to(dest)) for path in dest.rglob("*") if path.is_file()) == ["cache", "kept", "sub/kept"]
