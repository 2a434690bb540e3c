"""The systems that are measured, by name."""

from __future__ import annotations

from pathlib import Path

from .bare import Bare
from .base import System
from .chain import Chain
from .clients import Aria2, Libtorrent, Transmission
from .direct import Rsync, Udpcast
from .foreign import Foreign
from .murder import Murder

__all__ = ["System", "systems"]


def systems(program: Path | None = None, profile: Path | None = None) -> dict[str, System]:
    """Return every system; program is the murder to measure, if it is not the built one, profile where its profiles come."""
    murder = Murder(program, profile)
    foreign = [Foreign(client, murder) for client in (Libtorrent(), Aria2(), Transmission())]
    known = [murder, Chain(), *foreign, Rsync(), Udpcast(), Bare()]
    return {system.name: system for system in known}
