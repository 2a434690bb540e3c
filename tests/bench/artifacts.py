"""What is to reach every peer: one file, or a tree of many."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

WINDOW = 1 << 20  # bytes that noise gives at once at most
STORE = 64 << 20  # bytes of noise, more than any compressor looks back (synchronize uses one)
STEP = 4099  # odd, so that a million rounds begin each at another place
RECENT = 100  # every how many files of a tree one is younger than the others
CHANGED = 1 / RECENT  # share of an artifact in which its older version differs
OLD, YOUNG = 1_700_000_000, 1_750_000_000  # modification times, in seconds since 1970


class Noise:
    """A stream of random bytes that costs little: a store of them in rounds, each from another place on.

    Fresh ones for 20 GB would take a minute.
    """

    def __init__(self):
        self._store = os.urandom(STORE + WINDOW)

    def window(self, start: int, size: int) -> bytes:
        """Return size bytes (a WINDOW at most) of the stream."""
        first = (start + start // STORE * STEP) % STORE
        return self._store[first : first + size]


@dataclass(frozen=True)
class Artifact(ABC):
    """Something at path with so many bytes of content in so many files."""

    path: Path
    size: int
    files: int

    @abstractmethod
    def same(self, path: Path) -> bool:
        """Tell whether it has arrived whole at path."""

    @abstractmethod
    def older(self, path: Path, places: int = 1) -> None:
        """Put an older version at path, in which CHANGED of the bytes are others; of a file so many stretches of them."""


@dataclass(frozen=True)
class File(Artifact):
    """One file; checksum is its SHA-1."""

    checksum: str

    @classmethod
    def make(cls, path: Path, size: int) -> File:
        """Write a file that does not compress and in which nothing is twice."""
        digest, noise = hashlib.sha1(), Noise()
        with path.open("wb") as file:
            for start in range(0, size, WINDOW):
                block = noise.window(start, min(WINDOW, size - start))
                digest.update(block)
                file.write(block)
        path.chmod(0o644)
        os.utime(path, (YOUNG, YOUNG))
        return cls(path, size, 1, digest.hexdigest())

    def same(self, path: Path) -> bool:
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if path.samefile(self.path):
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest() == self.checksum

    def older(self, path: Path, places: int = 1) -> None:
        shutil.copyfile(self.path, path)
        with path.open("r+b") as file:
            for start in range(self.size // places // 2, self.size, self.size // places):
                file.seek(start)
                file.write(os.urandom(int(self.size * CHANGED / places)))
        os.utime(path, (OLD, OLD))


@dataclass(frozen=True)
class Tree(Artifact):
    """A directory with files of the same length, ten directories of a hundred files in each directory of the first level.

    One file of RECENT is younger than the others, as if a release before had been changed in these; unless dated is unset,
    which is what a source looks like that does not keep the times.
    """

    dated: bool = True

    @classmethod
    def make(cls, path: Path, files: int, length: int, dated: bool = True) -> Tree:
        """Write the tree; a file has a WINDOW of bytes at most."""
        tree = cls(path, files * length, files, dated)
        tree._write(path, range(files), YOUNG if dated else OLD)
        return tree

    def same(self, path: Path) -> bool:
        return not subprocess.run(["diff", "-rq", "--no-dereference", self.path, path], stdout=subprocess.DEVNULL).returncode

    def older(self, path: Path, places: int = 1) -> None:
        subprocess.run(["cp", "-a", self.path, path], check=True)
        self._write(path, range(0, self.files, RECENT), OLD)

    def _write(self, path: Path, numbers: range, young: int) -> None:
        noise, length, known = Noise(), self.size // self.files, set()
        for number in numbers:
            directory = path / f"{number // 1000:03}" / f"{number // 100 % 10}"
            if directory not in known:
                directory.mkdir(parents=True, exist_ok=True)
                known.add(directory)
            file = os.open(directory / f"file-{number:06}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(file, noise.window(number * length, length))
            time = OLD if number % RECENT else young
            os.utime(file, (time, time))
            os.close(file)
