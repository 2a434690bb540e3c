"""What is told while a fleet downloads: words, whom it asks, how often, and that it is no part of the task."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.corvus.murder.plugins.action import murder_peer
from ansible_collections.corvus.murder.plugins.plugin_utils import progress

INFOHASH = "0123456789abcdef" * 2 + "01234567"
BOUND = 20.0  # seconds that a test waits for anything


def status(completed: int, *left: int, infohash: str = INFOHASH, name: str = "app.tar") -> dict[str, t.Any]:
    """What a tracker says of one torrent of 1000 bytes, beside another."""
    peers = [{"left": n} for n in left]
    torrent = {"infohash": infohash, "name": name, "size": 1000, "completed": completed, "peers": peers}
    return {"torrents": [torrent | {"infohash": "f" * 40, "completed": 7}, torrent]}


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (status(0, 0, 1000, 1000), "app.tar: 0 of 2 hosts have it, 0 % of all bytes are there"),
        (status(1, 0, 0, 500, 0), "app.tar: 1 of 2 hosts have it, 75 % of all bytes are there"),
        (status(3, 0, 1), "app.tar: 3 of 4 hosts have it, 99 % of all bytes are there"),
        (status(2, 0), "app.tar: 2 of 2 hosts have it, 100 % of all bytes are there"),
        (status(1, name="a\x1b[2J\nb"), "a?[2J?b: 1 of 1 hosts have it, 100 % of all bytes are there"),
        (status(0, 0), ""),
        (status(1, infohash="e" * 40), ""),
        ({"torrents": []}, ""),
    ],
)
def test_words(said, line):
    assert progress.told(said, INFOHASH.upper()) == line


@pytest.mark.parametrize(
    ("tracker", "url"),
    [
        ("build1:8998", "http://build1:8998/status.json"),
        ("http://build1:8998/announce", "http://build1:8998/status.json"),
        ("https://build1/murder/announce?token=sesame", "https://build1/murder/status.json"),
        ("http://[::1]:8998/announce", "http://[::1]:8998/status.json"),
    ],
)
def test_address(tracker, url):
    assert progress.status_url(tracker) == url


class Tracker(http.server.ThreadingHTTPServer):
    """Says what it is told to say, or of one host more each time it is asked, and when that was."""

    daemon_threads = True

    def __init__(self, says: bytes | None = None, code: int = 200):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.says, self.code = says, code
        self.asked, self.paths, self.tokens = [], set(), set()
        self.address = f"127.0.0.1:{self.server_port}"
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def wait(self, times: int) -> None:
        """Wait until it has been asked so many times."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= times, BOUND), self.asked

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with self.server.changed:
                self.server.asked.append(time.monotonic())
                self.server.paths.add(self.path)
                self.server.tokens.add(self.headers["Authorization"])
                self.server.changed.notify_all()
            self.send_response(self.server.code)
            self.end_headers()
            says = self.server.says
            self.wfile.write(json.dumps(status(len(self.server.asked), 500)).encode() if says is None else says)

        def log_message(self, *_: t.Any) -> None:
            pass


@pytest.fixture
def tracker() -> t.Iterator[t.Callable[..., Tracker]]:
    servers = []

    def start(*args: t.Any, **kwargs: t.Any) -> Tracker:
        servers.append(Tracker(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Screen:
    """Keeps the lines that are shown, and lets a test wait for them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def wait(self, lines: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= lines, BOUND), self.lines


def test_tasks_of_one_run_tell_in_turn(tmp_path, tracker):
    server, screen, seconds = tracker(), Screen(), 0.2
    tasks = [progress.Progress(str(tmp_path), server.address, INFOHASH, seconds, screen) for number in range(5)]
    for task in tasks:
        task.__enter__()
    screen.wait(2)
    for task in tasks[1:]:
        task.__exit__()
    screen.wait(5)  # one that is left goes on
    tasks[0].__exit__()
    assert not any(task._thread.is_alive() for task in tasks)
    # A file's time is as exact as the kernel's clock ticks, and the tracker may be asked late.
    assert min(later - at for at, later in zip(server.asked, server.asked[1:])) > seconds / 2
    assert server.paths == {"/status.json"}
    assert server.tokens == {None}
    numbers = [int(line.split()[1]) for line in screen.lines]
    assert numbers == sorted(set(numbers))


def test_what_has_not_changed_is_told_once(tmp_path, tracker):
    server, screen = tracker(json.dumps(status(1, 500)).encode()), Screen()
    with progress.Progress(str(tmp_path), server.address, INFOHASH, 0.05, screen, token="sesame"):
        server.wait(5)
    assert server.tokens == {"Bearer sesame"}
    assert screen.lines == ["app.tar: 1 of 2 hosts have it, 75 % of all bytes are there"]


@pytest.mark.parametrize(
    "answer",
    [
        (b"", 404),
        (b"<html>", 200),
        (b"{}", 200),
        (b"[]", 200),
        (b'{"torrents": [{"name": 1}]}', 200),
        (b'{"torrents": 1}', 200),
        (json.dumps(status(0, 5)).replace("1000", "0").encode(), 200),  # of no bytes, of which some are missing
    ],
)
@pytest.mark.filterwarnings("error")  # pytest warns of an exception that ends a thread
def test_tracker_that_is_not_ours_is_asked_once(tmp_path, tracker, answer):
    server, screen = tracker(*answer), Screen()
    task = progress.Progress(str(tmp_path), server.address, INFOHASH, 0.05, screen)
    with task:
        task._thread.join(BOUND)
    assert not task._thread.is_alive() and len(server.asked) == 1 and screen.lines == []


@pytest.mark.parametrize("tracker", ["127.0.0.1:PORT", "http://127.0.0.1:PORT/announce", "http://[::1", "udp://127.0.0.1:PORT"])
def test_tracker_that_is_not_there(tmp_path, tracker):
    screen = Screen()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    task = progress.Progress(str(tmp_path), tracker.replace("PORT", str(port)), INFOHASH, 0.05, screen)
    with task:
        task._thread.join(BOUND)
    assert not task._thread.is_alive() and screen.lines == []


DOWNLOAD = {"dest": "/a", "tracker": "build1:8998", "infohash": INFOHASH}


@pytest.mark.parametrize(
    ("options", "variables", "keywords", "seconds"),
    [
        ({}, {}, {}, progress.SECONDS),
        ({}, {"murder_progress": ""}, {}, progress.SECONDS),  # as AWX hands on a question that nobody has answered
        ({"state": "present"}, {"murder_progress": "2.5"}, {}, 2.5),
        ({}, {"murder_progress": 0}, {}, None),
        ({}, {"murder_progress": "nan"}, {}, None),
        ({"state": "started"}, {}, {}, None),
        ({"state": "absent"}, {}, {}, None),
        ({"infohash": "../" + INFOHASH[3:]}, {}, {}, None),
        ({"tracker": None}, {}, {}, None),
        ({}, {}, {"check_mode": True}, None),
        ({}, {}, {"async": 60, "poll": 0}, None),
    ],
)
def test_tasks_that_wait_for_a_download_tell(run, programs, monkeypatch, options, variables, keywords, seconds):
    made = []

    class Recorded(progress.Progress):
        def __init__(self, directory: str, tracker: str, infohash: str, every: float, token: str):
            super().__init__(directory, tracker, infohash, every, token=token)
            made.append((tracker, infohash, every, token))

    monkeypatch.setattr(murder_peer, "Progress", Recorded)
    result = run("murder_peer", DOWNLOAD | {"token": "sesame"} | options, variables, **keywords).result
    assert result["module"] == "murder_peer"
    assert made == ([("build1:8998", INFOHASH, seconds, "sesame")] if seconds else [])


def test_seconds_that_are_none(run, programs):
    with pytest.raises(AnsibleActionFail, match="Variable murder_progress is 'often'; give seconds, or 0 for none"):
        run("murder_peer", DOWNLOAD, {"murder_progress": "often"})
