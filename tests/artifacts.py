"""Makes the artifacts that the tests deploy, and reads them back from wherever they arrived."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet import Host

MB = 1_000_000

# Runs on a host under its own python3: every path below (or at) the argument with what must have survived the way.
_MANIFEST = """
import hashlib, json, os, sys
top = sys.argv[1]
def entry(path):
    mode = os.lstat(path).st_mode
    if os.path.islink(path):
        return ["link", os.readlink(path)]
    if os.path.isdir(path):
        return ["directory", oct(mode & 0o7777)]
    with open(path, "rb") as file:
        return ["file", oct(mode & 0o7777), hashlib.sha256(file.read()).hexdigest()]
paths = [top]
for folder, names, files in os.walk(top):
    paths += [os.path.join(folder, name) for name in names + files]
print(json.dumps({os.path.relpath(path, top): entry(path) for path in paths}, sort_keys=True))
"""


def make_file(path: Path, size: int = 56 * MB, seed: int = 1) -> None:
    """Write size random bytes that are the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    path.chmod(0o644)


def make_tree(top: Path, seed: int = 2) -> None:
    """Write a tree with everything that gets lost on bad roads: see the names."""
    source = random.Random(seed)
    files = {
        "app/bin/run": source.randbytes(3 * MB),
        "app/lib/deep/er/and deeper/data.bin": source.randbytes(5 * MB + 17),
        "app/lib/one byte": b"x",
        "empty file": b"",
        "größe/naïve ☃.txt": "Grüße\n".encode(),
        "größe/leer": b"",
        "%7Eodd+name&;$(x).conf": b"a=b\n",
        "private/key": source.randbytes(4096),
    }
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    (top / "empty directory/with another").mkdir(parents=True)
    for folder in [top, *(path for path in top.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)
    (top / "app/bin/run").chmod(0o755)
    (top / "private/key").chmod(0o600)
    (top / "private").chmod(0o700)
    (top / "app/current").symlink_to("lib/deep")
    (top / "app/bin/start").symlink_to("run")


def manifest(path: str | Path, host: Host | None = None) -> dict[str, list[str]]:
    """Return type, mode and SHA-256 or link target of everything at path, on this machine or on a host."""
    argv = ["python3", "-", str(path)]
    if host:
        return json.loads(host.run(*argv, input=_MANIFEST).stdout)
    argv[0] = sys.executable
    return json.loads(subprocess.run(argv, input=_MANIFEST, capture_output=True, text=True, check=True).stdout)
