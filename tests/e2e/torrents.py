"""Writes torrents that no honest program would write."""

from __future__ import annotations

import base64
import hashlib

PIECE = 16384


def bencode(value) -> bytes:
    """Encode as BEP 3 has it; what is bytes already, text or a number, a list, a dictionary."""
    match value:
        case bytes():
            return b"%d:%b" % (len(value), value)
        case str():
            return bencode(value.encode())
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"
    raise TypeError(type(value))


def single(content: bytes = b"evil", **info) -> bytes:
    """Return a torrent of one file; named parts of info replace the honest ones (piece_length is piece length)."""
    honest = {"name": "artifact", "length": len(content), "piece length": PIECE, "pieces": hashes(content)}
    return torrent(honest | {key.replace("_", " "): value for key, value in info.items()})


def tree(*paths: list[str], content: bytes = b"evil", **info) -> bytes:
    """Return a torrent of a directory in which every path holds the same content."""
    files = [{"length": len(content), "path": path} for path in paths]
    honest = {"name": "artifact", "files": files, "piece length": PIECE, "pieces": hashes(content * len(paths))}
    return torrent(honest | {key.replace("_", " "): value for key, value in info.items()})


def torrent(info: dict) -> bytes:
    return bencode({"announce": "http://127.0.0.1:1/announce", "info": info})


def hashes(content: bytes) -> bytes:
    pieces = (content[start : start + PIECE] for start in range(0, len(content), PIECE))
    return b"".join(hashlib.sha1(piece).digest() for piece in pieces)


def option(data: bytes) -> str:
    """Return a torrent as the option torrent_content takes it."""
    return base64.b64encode(data).decode()
