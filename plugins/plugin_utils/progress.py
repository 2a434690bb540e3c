# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells how far a fleet is while tasks wait for their hosts. The tracker knows all of them, so it is asked, and no host.

Each host's task is a process of its own. They share a file in the temporary directory of this run of Ansible: who has it locked
tells, and its time says when somebody has.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import pathlib
import threading
import time
import typing as t
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.urls import open_url
from ansible.utils.display import Display

SECONDS = 10.0  # between two lines
LOOK = 1.0  # seconds between two looks at whether it is time for a line
PATIENCE = 5  # seconds that the tracker has to answer
LARGEST = 1 << 24  # bytes of an answer; one of 5,000 hosts has a tenth of that


def status_url(tracker: str) -> str:
    """Where a tracker of ours, named as modules take it, tells what it knows."""
    url = urlsplit(tracker if "://" in tracker else f"http://{tracker}")
    return urlunsplit((url.scheme, url.netloc, f"{url.path.rpartition('/')[0]}/status.json", "", ""))


def told(status: dict[str, t.Any], infohash: str) -> str:
    """How far the peers of a torrent are, in words; nothing if there are none."""
    for torrent in status["torrents"]:
        if torrent["infohash"] == infohash.lower():
            break
    else:
        return ""
    done, lacking = torrent["completed"], [peer["left"] / torrent["size"] for peer in torrent["peers"] if peer["left"]]
    hosts = done + len(lacking)
    if not hosts:
        return ""
    name = "".join(char if char.isprintable() else "?" for char in torrent["name"])
    return f"{name}: {done} of {hosts} hosts have it, {int(100 * (1 - sum(lacking) / hosts))} % of all bytes are there"


class Progress:
    """A context in which it is told now and then how far all peers of a torrent are.

    That fails in silence: it is no part of the task.
    """

    def __init__(
        self,
        directory: str,
        tracker: str,
        infohash: str,
        seconds: float = SECONDS,
        show: t.Callable[[str], None] = lambda line: Display().display(line, stderr=True),  # stdout may be a machine's
        token: str = "",
    ):
        self._turn = pathlib.Path(directory, f"corvus.murder.{infohash.lower()}")
        self._tracker, self._infohash, self._seconds, self._show = tracker, infohash, seconds, show
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}  # infohashes are for who has it
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LOOK)  # who waits for the tracker must not hold up the task

    def _watch(self) -> None:
        try:
            url = status_url(self._tracker)
            self._turn.open("a").close()  # its time is that of the first task
            while not self._over.wait(min(LOOK, self._seconds / 4)):
                self._tell(url)
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, ArithmeticError) as exc:
            Display().vvv(f"No progress is told, for the tracker does not answer as one of corvus.murder does: {exc}")

    def _tell(self, url: str) -> None:
        with self._turn.open("a+", encoding="utf-8") as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another task tells
            if time.time() - os.fstat(turn.fileno()).st_mtime < self._seconds:
                return
            with open_url(url, timeout=PATIENCE, use_proxy=False, http_agent="corvus.murder", headers=self._headers) as answer:
                line = told(json.loads(answer.read(LARGEST)), self._infohash)
            turn.seek(0)
            if line and line != turn.read() and not self._over.is_set():
                self._show(line)
            turn.truncate(0)
            turn.write(line)
            turn.flush()
            os.utime(turn.fileno())
