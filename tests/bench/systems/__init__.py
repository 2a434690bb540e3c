"""The systems that are measured, by name."""

from __future__ import annotations

from pathlib import Path

from .base import System
from .chain import Chain
from .direct import Rsync, Udpcast
from .foreign import Aria2, Libtorrent, Transmission
from .murder import Murder

__all__ = ["System", "systems"]


def systems(program: Path | None = None) -> dict[str, System]:
    """Return every system; program is the murder to measure, if it is not the built one."""
    murder = Murder(program)
    known = [murder, Chain(), Libtorrent(murder), Aria2(murder), Transmission(murder), Rsync(), Udpcast()]
    return {system.name: system for system in known}
