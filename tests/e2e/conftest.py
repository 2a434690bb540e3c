"""One fleet for the whole session, and a sandbox on this machine for each test that needs no fleet."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from fleet import Fleet
from fleet.fleet import unavailable
from lab import Lab
from program import Sandbox

PEERS = 12
RATE = "200mbit"


@pytest.fixture(scope="session")
def fleet():
    """Return a controller and 12 peers behind firewalls that let in nothing but ssh; skips where there can be none."""
    why = unavailable()
    if why:  # namespaces are root's; make test counts what it skips, and an ordinary user has the other tests
        pytest.skip(f"{why}; run the tests as root to have them all")
    fleet = Fleet.up(PEERS, rate=RATE)
    try:
        yield fleet
    finally:
        fleet.down()


@pytest.fixture(scope="session")
def lab(fleet) -> Lab:
    return Lab(fleet)


@pytest.fixture
def sandbox():
    """Return a sandbox below /tmp, where an ordinary user can reach it."""
    directory = Path(tempfile.mkdtemp(prefix="murder-sandbox-"))
    directory.chmod(0o755)
    sandbox = Sandbox(directory)
    try:
        yield sandbox
    finally:
        sandbox.close()


@pytest.fixture
def root():
    """Skip a test that needs root to set up what it tests."""
    if os.geteuid() != 0:  # mounts and files of other users are root's; make test counts what it skips
        pytest.skip("needs root to set up what it tests; run the tests as root to have them all")


@pytest.fixture
def small_disk(root, sandbox):
    """Return a directory of the sandbox that is a file system of 1 MB."""
    directory = sandbox.directory / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
