"""Torrents that are none, or that mean harm: refused before anything is connected or written."""

from __future__ import annotations

import pytest
import torrents
from torrents import bencode, option, single, tree

EVIL = b"evil"

HOSTILE = {
    "empty": (b"", []),
    "text": (b"this is no torrent", []),
    "truncated": (single()[:-20], []),
    "trailing garbage": (single() + b"garbage", []),
    "no info": (bencode({"announce": "http://127.0.0.1:1/announce"}), ["info"]),
    "info is a list": (bencode({"info": [1]}), ["info"]),
    "parent directory as name": (single(name=".."), ['".."']),
    "path as name": (single(name="../../etc/passwd"), ["../../etc/passwd"]),
    "absolute name": (single(name="/etc/passwd"), ["/etc/passwd"]),
    "no name": (single(name=""), ["name"]),
    "parent directory in a path": (tree(["..", "escaped"]), ['".."']),
    "parent directory deep in a path": (tree(["a", "..", "..", "escaped"]), ['".."']),
    "absolute path": (tree(["/etc", "passwd"]), ["/etc"]),
    "slash in a component": (tree(["a/../../escaped"]), ["a/../../escaped"]),
    "zero byte in a component": (tree([b"a\0b"]), ["NUL"]),
    "empty path": (tree([]), ["path"]),
    "the same path twice": (tree(["a"], ["a"]), ["a", "twice"]),
    "a file that is also a directory": (tree(["a"], ["a", "b"]), ["a/b", "not a directory"]),
    "too few pieces": (single(b"x" * 50000, pieces=b"\0" * 20), ["piece"]),
    "too many pieces": (single(pieces=b"\0" * 2000), ["piece"]),
    "half a hash": (single(pieces=b"\0" * 19), ["20"]),
    "negative length": (single(length=-1), ["negative"]),
    "huge length": (single(length=1 << 62), ["piece"]),
    "length beyond 64 bits": (single(length=1 << 70), ["large"]),
    "sum of lengths beyond 64 bits": (
        torrents.torrent(
            {
                "name": "artifact",
                "piece length": torrents.PIECE,
                "pieces": b"\0" * 20,
                "files": [{"length": (1 << 63) - 1, "path": [name]} for name in "ab"],
            }
        ),
        ["large"],
    ),
    "no piece length": (single(piece_length=0), ["piece length"]),
    "huge piece length": (single(piece_length=1 << 40), ["piece length"]),
    "deep nesting": (b"d4:info" + b"l" * 100_000 + b"e" * 100_000 + b"e", []),
    "a link out of the tree": (
        torrents.torrent(
            {
                "name": "artifact",
                "piece length": torrents.PIECE,
                "pieces": torrents.hashes(EVIL),
                "files": [
                    {"length": 0, "path": ["way"], "attr": "l", "symlink path": ["..", "..", "outside"]},
                    {"length": 4, "path": ["way", "escaped"]},
                ],
            }
        ),
        ["symlink"],
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_torrent_is_refused(sandbox, name):
    data, said = HOSTILE[name]
    dest = sandbox.directory / "place" / "dest"
    dest.parent.mkdir()
    message = sandbox.fails("peer", torrent_content=option(data), dest=str(dest), ip="127.0.0.1", timeout=5)
    assert "torrent" in message.lower()
    for words in said:
        assert words in message
    assert list(dest.parent.iterdir()) == []
    assert sandbox.falls_silent()


def test_torrent_file_is_missing(sandbox):
    path = sandbox.directory / "missing.torrent"
    message = sandbox.fails("peer", torrent=str(path), dest=str(sandbox.directory / "dest"))
    assert f"{path} not found" in message


def test_torrent_content_is_not_base64(sandbox):
    message = sandbox.fails("peer", torrent_content="???", dest=str(sandbox.directory / "dest"))
    assert "torrent_content" in message
    assert "base64" in message


def test_torrent_file_is_the_artifact(sandbox):
    path = sandbox.directory / "artifact.iso"
    path.write_bytes(b"\0" * 100_000)
    message = sandbox.fails("peer", torrent=str(path), dest=str(sandbox.directory / "dest"))
    assert str(path) in message
    assert "torrent" in message
