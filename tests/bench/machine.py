"""What the results were made on, for whoever compares them with others."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path

from . import stamps
from .systems import System
from .systems.base import CHECKOUT, tell

POSIX = CHECKOUT / "build/bench/ansible_collections/ansible/posix/MANIFEST.json"


def describe(systems: Iterable[System]) -> dict[str, str]:
    """Return machine, kernel and versions, by the name under which they are shown."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    about = {
        "date": stamps.now(),
        "processor": stamps.processor(),
        "memory": f"{int(memory.split()[1]) / 1e6:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "TCP": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "checkout": stamps.checkout(),
    }
    about["ansible"] = tell(CHECKOUT / ".venv/bin/ansible", "--version")
    if POSIX.exists():
        about["ansible.posix"] = json.loads(POSIX.read_text())["collection_info"]["version"]
    return about | {f"version of {system.name}": system.missing() or system.version() for system in systems}
