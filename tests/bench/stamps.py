"""When a result was measured, and of which program."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from .deploys import Deploy
from .limits import Held
from .outcome import Outcome
from .systems.base import CHECKOUT, tell

Result = TypeVar("Result", Outcome, Held, Deploy)


def now() -> str:
    """Return the minute."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def checkout() -> str:
    """Return the commit that is measured, and whether anything differs from it but the documents: they are written meanwhile."""
    commit = tell("git", "-C", CHECKOUT, "describe", "--always")
    changed = tell("git", "-C", CHECKOUT, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return f"{commit}-dirty" if changed else commit


def processor() -> str:
    """Return what computes here, and how many of them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def stamped(result: Result, program: str) -> Result:
    """Return a result that has just been measured with its time, program and machine."""
    return dataclasses.replace(result, date=now(), checkout=program, processor=processor())


def told(results: Iterable[tuple[str, Result]]) -> str:
    """Return a sentence about the results of one table, each with the name of its row; rows are named if not all are alike.

    Of results from before there were stamps nothing is said.
    """
    rows: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, result in results:
        rows[result.date[:10], result.checkout, result.processor].append(name)
    alike = len(rows) == 1
    parts = []
    for (day, program, machine), names in rows.items():
        if day:
            which = "" if alike else f" ({'; '.join(dict.fromkeys(names))})"
            parts.append(f"{day} with {program}{machine and ' by '}{machine}{which}")
    return f"Measured on {', on '.join(parts)}." if parts else ""
