"""Names a process so that another one with the same number is never taken for it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process id together with the clock tick at which that process began."""

    pid: int
    began: int

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _stat(pid)[1])

    def alive(self) -> bool:
        """Tell whether it still runs; one that has ended and is not yet reaped does not."""
        try:
            state, began = _stat(self.pid)
        except OSError:
            return False
        return began == self.began and state not in "ZX"

    def kill(self, seconds: float = 10) -> None:
        """Kill exactly this process and wait until it is gone; quiet when it is gone already."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        with contextlib.closing(os.fdopen(handle, "rb", buffering=0)):
            if not self.alive():
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], seconds)[0]:
                raise TimeoutError(f"process {self.pid} is still there {seconds} s after SIGKILL")


def mentioning(text: str) -> list[Process]:
    """Return every process of this machine whose command line has this text in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # One that ends meanwhile is not there any more.
        with contextlib.suppress(OSError):
            if text in (entry / "cmdline").read_text(errors="replace"):
                found.append(Process.of(int(entry.name)))
    return found


def _stat(pid: int) -> tuple[str, int]:
    """Return state and start time: fields 3 and 22 of proc(5), counted after the name, which may hold blanks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def wait_until(true: Callable[[], object], what: str, seconds: float = 30, every: float = 0.05) -> None:
    """Poll until true() is; raises TimeoutError that names what was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(every)
